"""One entry of a footage list, whatever the set, and careful access to its JSON. Called by the readers of each set.

The sets are published as lists of links: who holds the files has downloaded them, under the terms of each set.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashtalk.errors import InputError


@dataclass(frozen=True)
class Box:
    """Part of a picture, in pixels, or in parts of its size if no number is above 1."""

    left: float
    top: float
    right: float
    bottom: float

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) inside a picture. Raises InputError(box) if little of it lies inside."""
        across, down = (width, height) if max(self.right, self.bottom) <= 1 else (1, 1)
        left, right = (min(max(round(x * across), 0), width) for x in (self.left, self.right))
        top, bottom = (min(max(round(y * down), 0), height) for y in (self.top, self.bottom))
        if right - left < 16 or bottom - top < 16:
            raise InputError(f"{self} is not inside a picture of {height} x {width}; check the list", code="box")
        return top, left, bottom - top, right - left


@dataclass(frozen=True)
class FootageRecord:
    """One clip of a set. start_s, end_s: in the whole video. box: None for the whole picture.

    subject and video name the speaker and the video: records that share either are of one split. scores: the set's own
    measurements by name.
    """

    key: str
    source: str
    video: str
    subject: str
    language: str
    caption: str
    start_s: float
    end_s: float
    box: Box | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.key or "/" in self.key or self.key.startswith("."):
            raise bad_record(self.key, "its name cannot be a file's name")
        if not 0 <= self.start_s < self.end_s < math.inf:
            raise bad_record(self.key, f"it begins at {self.start_s} s and ends at {self.end_s} s")


def bad_record(key: object, reason: str) -> InputError:
    """The error for an entry that cannot be understood."""
    return InputError(f"record {key!r} cannot be used: {reason}; leave it out or mend the list", code="record")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises InputError(footage_list)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the set's folder as published", code="footage_list") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not JSON ({error}); download it again", code="footage_list") from error


def first_of(tree: object, names: Sequence[str]) -> Any:
    """The value of the first of these names that a mapping has, looked up without regard to case; else None."""
    if not isinstance(tree, Mapping):
        return None
    values = {str(name).lower().replace("-", "_").replace(" ", "_"): value for name, value in tree.items()}
    return next((values[name] for name in names if values.get(name) is not None), None)


def number(value: object) -> float | None:
    """A finite number, also from text such as "5.042s" or "00:01:02.5"; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parts = [float(part) for part in str(value).strip().removesuffix("s").split(":")]
    except ValueError:
        return None
    total = sum(part * 60**place for place, part in enumerate(reversed(parts)))
    return total if math.isfinite(total) else None


def numbers(tree: object, prefix: str = "") -> dict[str, float]:
    """All numbers of nested mappings, by dotted name."""
    if not isinstance(tree, Mapping):
        return {}
    found: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[f"{prefix}{name}"] = float(value)
    return found


def box_of(value: object) -> Box | None:
    """A box from [left, top, right, bottom] or a mapping with such names; None if there is none."""
    if isinstance(value, Mapping):
        named = [first_of(value, names) for names in (("x1", "left"), ("y1", "top"), ("x2", "right"), ("y2", "bottom"))]
        value = named if all(side is not None for side in named) else None
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 4:
        return None
    sides = [number(side) for side in value]
    if any(side is None for side in sides):
        return None
    left, top, right, bottom = (side for side in sides if side is not None)
    return Box(left, top, right, bottom) if left < right and top < bottom else None
