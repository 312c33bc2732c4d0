"""The project file: all that a film is made of, in one JSON file that makes the very same film again. Used by ui/tabs.

Picture and sound travel inside as the bytes that were given; they are opened through the door again, never trusted.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flashtalk import __version__
from flashtalk.errors import InputError
from flashtalk.ui.material import file_sha256

_FORMAT = "flashtalk-project"
_VERSION = 1
_MOST_BYTES = 64 << 20
_LONGEST_PROMPT = 2000
_NAME = re.compile(r"[\w .()-]{1,80}")
_SETTINGS = {"steps": int, "width": int, "height": int, "fit": str, "colour_strength": float}


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the visitor set: fields of StreamConfig by name in `settings`, and what goes with them."""

    prompt: str = ""
    seed: int = 0
    label: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """What a project file holds, its files unpacked."""

    wishes: Wishes
    portrait: Path
    voice: Path
    fingerprint: str


def write_project(path: Path, wishes: Wishes, portrait: str, voice: str, fingerprint: str) -> None:
    """Write the project; `fingerprint` is that of the model that made the film."""
    tree = {
        "format": _FORMAT,
        "version": _VERSION,
        "made_with": {"flashtalk": __version__, "model": fingerprint},
        "wishes": asdict(wishes) | {"settings": dict(wishes.settings)},
        "portrait": _packed(portrait),
        "voice": _packed(voice),
    }
    path.write_text(json.dumps(tree, indent=1, ensure_ascii=False), encoding="utf-8")


def read_project(path: str | Path, folder: Path) -> Project:
    """Unpack a project into `folder`. Raises InputError(project_damaged)."""
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise _damaged("is too large")
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
        if tree["format"] != _FORMAT or tree["version"] != _VERSION:
            raise _damaged("is of another version")
        wishes, made_with = _wishes(tree["wishes"]), tree["made_with"]
        portrait, voice = (_unpacked(tree[kind], folder, kind) for kind in ("portrait", "voice"))
        return Project(wishes, portrait, voice, str(made_with["model"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _damaged("cannot be read") from None


def _wishes(tree: Mapping[str, Any]) -> Wishes:
    settings = {name: kind(tree["settings"][name]) for name, kind in _SETTINGS.items() if name in tree["settings"]}
    return Wishes(
        prompt=str(tree["prompt"])[:_LONGEST_PROMPT],
        seed=int(tree["seed"]),
        label=bool(tree["label"]),
        settings=settings,
    )


def _packed(path: str) -> dict[str, str]:
    data = Path(path).read_bytes()
    return {"name": Path(path).name, "sha256": file_sha256(path), "data": base64.b64encode(data).decode()}


def _unpacked(tree: Mapping[str, str], folder: Path, kind: str) -> Path:
    # The name from the file is shown to its owner only; the suffix helps players, the door looks at the bytes.
    name = Path(str(tree["name"])).name
    path = folder / (name if _NAME.fullmatch(name) else kind)
    path.write_bytes(base64.b64decode(tree["data"], validate=True))
    if file_sha256(path) != tree["sha256"]:
        raise _damaged(f"holds a damaged {kind}")
    return path


def _damaged(what: str) -> InputError:
    return InputError(f"This project file {what}; save it again from a finished film.", code="project_damaged")
