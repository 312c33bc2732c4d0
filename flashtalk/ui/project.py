"""The project file: all that a film is made of, in one JSON file that makes the very same film again. Used by ui/tabs.

Picture and sound travel inside as the bytes that were given; they are opened through the door again, never trusted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from flashtalk import __version__
from flashtalk.config import StreamConfig
from flashtalk.config_file import to_tree
from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import InputError
from flashtalk.serving.asked import MOST_PROMPT_LETTERS
from flashtalk.serving.jobs.intake import demand_room
from flashtalk.ui.material import file_sha256
from flashtalk.ui.plain_json import values_at_most

_FORMAT = "flashtalk-project"
_VERSION = 1
_MOST_BYTES = 112 << 20
"""The largest picture that the door opens, and two minutes of sound as ui/making.py puts it in."""
_LEFT_FREE_BYTES = 2 << 30
"""Of the disk, beside films and unpacked projects: less than uploads leave, more than long films need."""
_MOST_VALUES = 4096
"""A file of ours has some thirty, and the commas of its prompt."""
_PIECE_BYTES = 3 << 18
"""Of three bytes base64 makes four letters."""
_LONGEST_NAME = 100
_MADE_WITH = ("flashtalk", "model", "device", "machine", "settings")
_OF_BEFORE = {"machine": ""}
"""What older projects do not say."""
_NAME = re.compile(r"[\w .()-]{1,80}")
_CHOSEN = {"steps": int, "width": int, "height": int, "fit": str, "colour_strength": float}

Alike = Literal["same", "other_machine", "other_model", "no_model"]
"""The same film bit for bit; the same but for details; another film; its model is none of ours."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the visitor set: fields of StreamConfig by name in `settings`, and what goes with them.

    model: one of the client's variants, "" for the engine itself.
    """

    prompt: str = ""
    seed: int = 0
    label: bool = True
    model: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """What a project file holds, its files unpacked."""

    wishes: Wishes
    portrait: Path
    voice: Path
    made_with: Mapping[str, str]
    """See `made_with`."""


def made_with(model: EngineInfo, stream: StreamConfig) -> dict[str, str]:
    """What else decides the film's pictures: who finds the same here, makes the same film, bit for bit."""
    return {
        "flashtalk": __version__,
        "model": model.fingerprint,
        "device": f"{model.device} {model.dtype} {model.attention}",
        "machine": _mark(model.machine),
        "settings": _mark(json.dumps(to_tree(stream), sort_keys=True)),
    }


def _mark(words: str) -> str:
    """For comparisons: a project that travels tells nobody what the words are."""
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def how_alike(then: Mapping[str, str], now: Mapping[str, str]) -> Alike:
    """What a film made again will be like; both as `made_with` gives them."""
    if then["model"] != now["model"]:
        return "other_model"
    return "same" if then == now else "other_machine"


def write_project(
    path: Path, wishes: Wishes, portrait: BinaryIO, voice: BinaryIO, made_with: Mapping[str, str]
) -> None:
    """Write the project of a film from its opened files; `made_with` is what `made_with` said when it was made."""
    files = {secrets.token_hex(16): file for file in (portrait, voice)}
    marks = list(files)
    tree = {
        "format": _FORMAT,
        "version": _VERSION,
        "made_with": dict(made_with),
        "wishes": asdict(wishes) | {"settings": dict(wishes.settings)},
        "portrait": _described(portrait, marks[0]),
        "voice": _described(voice, marks[1]),
    }
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    with path.open("wb") as target:
        for part in re.split(f"({'|'.join(marks)})", text):
            for piece in _letters(files[part]) if part in files else (part.encode(),):
                target.write(piece)


def demand_project_room(folder: Path) -> None:
    """Raise EngineError(disk_full) where a project of any size would leave too little of the disk."""
    demand_room(folder, _MOST_BYTES, _LEFT_FREE_BYTES)


def read_project(path: str | Path, folder: Path) -> Project:
    """Unpack a project into `folder`. Raises InputError(project_damaged), EngineError(disk_full)."""
    demand_project_room(folder)
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise _damaged("is too large")
        data = Path(path).read_bytes()
        if values_at_most(data) > _MOST_VALUES:
            raise _damaged("holds more than a film is made of")
        tree = json.loads(data)
        json.dumps([tree["wishes"], tree["made_with"]], ensure_ascii=False).encode()  # halves of characters go nowhere
        if tree["format"] != _FORMAT or tree["version"] != _VERSION:
            raise _damaged("is of another version")
        wishes = _wishes(tree["wishes"])
        told = _OF_BEFORE | tree["made_with"]
        made_with = {name: str(told[name])[:_LONGEST_NAME] for name in _MADE_WITH}
        portrait, voice = (_unpacked(tree[kind], folder, kind) for kind in ("portrait", "voice"))
        return Project(wishes, portrait, voice, made_with)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise _damaged("cannot be read") from None


def _wishes(tree: Mapping[str, Any]) -> Wishes:
    settings = {name: kind(tree["settings"][name]) for name, kind in _CHOSEN.items() if name in tree["settings"]}
    return Wishes(
        prompt=str(tree["prompt"])[:MOST_PROMPT_LETTERS],
        seed=int(tree["seed"]),
        label=bool(tree["label"]),
        model=str(tree["model"])[:_LONGEST_NAME],
        settings=settings,
    )


def _described(file: BinaryIO, data: str) -> dict[str, str]:
    """What stands for a file; `data` for its bytes."""
    digest = hashlib.sha256()
    for piece in _pieces(file):
        digest.update(piece)
    return {"name": Path(file.name).name, "sha256": digest.hexdigest(), "data": data}


def _letters(file: BinaryIO) -> Iterator[bytes]:
    """Its bytes in base64, never all in memory."""
    return map(base64.b64encode, _pieces(file))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _unpacked(tree: Mapping[str, str], folder: Path, kind: str) -> Path:
    # The name from the file is shown to its owner only; the suffix helps players, the door looks at the bytes.
    name = Path(str(tree["name"])).name
    path = folder / (name if _NAME.fullmatch(name) else kind)
    if path.exists():  # both files may have one name
        path = path.with_name(f"{kind} {path.name}")
    path.write_bytes(base64.b64decode(tree["data"], validate=True))
    if file_sha256(path) != tree["sha256"]:
        raise _damaged(f"holds a damaged {kind}")
    return path


def _damaged(what: str) -> InputError:
    return InputError(f"This project file {what}; save it again from a finished film.", code="project_damaged")
