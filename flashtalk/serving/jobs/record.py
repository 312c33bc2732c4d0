"""What is known of one long video, as a value and as `job.json`; and the folder that holds all of it.

Called by the other modules here. room.py is the only one that writes records.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from flashtalk.config import StreamConfig
from flashtalk.config_file import from_tree
from flashtalk.errors import EngineError, FlashTalkError
from flashtalk.media.part_file import plain_errors, sync_file, sync_folder

State = Literal["waiting", "rendering", "paused", "done", "failed", "cancelled"]
UNFINISHED: tuple[State, ...] = ("waiting", "rendering", "paused")

TRACK_RATE = 48000
"""The film's sound keeps the source's quality; the 16 kHz mono that the model hears never gets into it."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Frames [first, end) of the film `parent` that are made again, with another seed."""

    parent: str
    first: int
    end: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """One long video. Times are seconds since 1970; `frames` are those that are safely in the film."""

    id: str
    owner: str
    """Of whom it is (door_files.owner_of); others are not told that it exists."""
    key: str
    """Chosen by the page: two submits with one key are one job."""
    token: str
    """Leads to its pictures and sound, in addresses."""
    title: str
    prompt: str
    stream: StreamConfig
    label: bool
    """Whether its pictures say that they were made by a machine."""
    picture_height: int
    picture_width: int
    channels: int
    samples: int
    """Of the 16 kHz voice."""
    created_s: float
    changed_s: float
    state: State = "waiting"
    reason: str = ""
    """Why it is paused or failed, as a sentence."""
    reason_code: str = ""
    """Of the error that is the reason; pages have words for it in other languages."""
    frames: int = 0
    rendered_s: float = 0.0
    """Time that was spent on it, pauses left out."""
    span: Span | None = None
    asker: str = ""
    """A word that stands for who ordered it, whatever the token: a browser, or a program's address; "" if unknown."""
    address: str = ""
    """A word that stands for where that was; "" if unknown."""

    @property
    def total_frames(self) -> int:
        """Frames of the whole film."""
        return -(-self.samples // self.stream.samples_per_frame)

    @property
    def goal_frames(self) -> int:
        """Frames that are to be made."""
        return self.span.end - self.span.first if self.span else self.total_frames

    def fed_until(self, frames: int) -> int:
        """Samples that its stream was given when chunks up to frame `frames` are taken."""
        heard = (frames + self.stream.lookahead_frames) * self.stream.samples_per_frame if frames else 0
        return min(self.samples, heard)

    def after_next(self, frames: int) -> int:
        """The frame behind the chunk that begins with this one."""
        stream = self.stream
        return frames + (stream.chunk_frames if frames else stream.first_chunk_frames) - stream.motion_frames

    @property
    def unfinished(self) -> bool:
        """Whether it may still go on."""
        return self.state in UNFINISHED


class JobFolder:
    """Where everything of one job lies. What was brought is there until it is read; `base` and `clip` belong to a span
    that is made again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.brought_picture, self.brought_sound = path / "brought.picture", path / "brought.sound"
        self.picture = path / "portrait.rgb"
        self.voice = path / "voice.f32"
        self.track = path / "track.s16"
        self.film = path / "film.mp4"
        self.preview = path / "preview.mp4"
        self.rows = path / "chunks.jsonl"
        self.states = path / "states"
        self.base, self.base_rows = path / "base.mp4", path / "base.jsonl"
        self.clip = path / "clip.mp4"
        self._record = path / "job.json"

    def bytes(self) -> int:
        """What it takes of the disk; files of two names count once."""
        found = {}
        for folder, _, names in os.walk(self.path):  # files and folders come and go meanwhile
            for name in names:
                with suppress(OSError):
                    info = Path(folder, name).stat()
                    found[info.st_ino] = info.st_size
        return sum(found.values())

    def write(self, job: Job) -> None:
        """Replace the record: a kill leaves the old one or the new one."""
        temporary = self._record.with_suffix(".new")
        with plain_errors("the list of films"):
            temporary.write_text(json.dumps(asdict(job)), encoding="utf-8")
            sync_file(temporary)
            temporary.replace(self._record)
            sync_folder(self.path)

    def read(self) -> Job:
        """The record. Raises EngineError(job_damaged)."""
        try:
            return _job_from(json.loads(self._record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, FlashTalkError):
            raise EngineError("The record of a film is damaged.", code="job_damaged") from None


def new_id() -> str:
    """A random name."""
    return secrets.token_urlsafe(16)


def _job_from(tree: dict[str, Any]) -> Job:
    stream = from_tree(StreamConfig, tree.pop("stream"))
    span = tree.pop("span")
    return Job(**tree, stream=stream, span=Span(**span) if span else None)
