"""What is kept of a film: numbers, some curves, some pictures, as files that are there as soon as it is made.

Workers write parts, the report reads them: a run that was ended goes on with those it has. Called by evaluate/jobs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from train.evaluate.config import slug
from train.evaluate.scores import Numbers
from train.evaluate.sheets import Strip

SEPARATOR = "--"


@dataclass(frozen=True)
class Job:
    """One film to make, or a drawing (`truth`, no variant) that films are compared with."""

    kind: str
    subject: int
    variant: str = ""

    @property
    def name(self) -> str:
        """Of its files."""
        return SEPARATOR.join((slug(self.variant) if self.variant else "drawn", slug(self.kind), str(self.subject)))


@dataclass(frozen=True, kw_only=True)
class Part:
    """Of one film. `curves`: one number a frame, a lag or a window; `strips`: rows of pictures for contact sheets."""

    job: Job
    row: Numbers
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    strips: Mapping[str, Strip] = field(default_factory=dict)


def save_part(folder: Path, part: Part, key: str) -> None:
    """Pictures first: a part whose JSON is there is whole. `key` tells what it was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    name = part.job.name
    for what, strip in part.strips.items():
        strip.image.save(folder / f"{name}{SEPARATOR}{slug(what)}.png")
    captions = {what: [strip.label, *strip.captions] for what, strip in part.strips.items()}
    curves = {what: np.asarray(curve, float).round(6).tolist() for what, curve in part.curves.items()}
    tree = {"key": key, "row": plain(part.row), "curves": plain(curves), "strips": captions}
    file = folder / f"{name}.json"
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(tree), encoding="utf-8")
    draft.replace(file)


def load_part(folder: Path, job: Job, key: str) -> Part | None:
    """The part that was saved with this key, or None."""
    try:
        tree = json.loads((folder / f"{job.name}.json").read_text(encoding="utf-8"))
        if tree["key"] != key:
            return None
        strips = {
            what: Strip(words[0], tuple(words[1:]), _picture(folder / f"{job.name}{SEPARATOR}{slug(what)}.png"))
            for what, words in tree["strips"].items()
        }
    except (OSError, ValueError, LookupError, TypeError):
        return None
    curves = {what: np.array(curve, float) for what, curve in tree["curves"].items()}
    return Part(job=job, row=tree["row"], curves=curves, strips=strips)


def digest(tree: object) -> str:
    """Of settings and fingerprints, short."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:20]


def plain(value: object) -> object:
    """What JSON can hold: NaN and infinity become null."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def _picture(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("RGB")
