"""Saved streams from which a part of a film can be made again: one now and then, farther apart in long films.

Called by render.py, which keeps them, and span.py, which begins with one.
"""

from __future__ import annotations

import re
from pathlib import Path

from flashtalk.media.part_file import plain_errors, share_file
from flashtalk.serving.jobs.record import Span

_PART = re.compile(r"part-(\d+)-(\d+)-(\d+)")


class States:
    """The files `FRAME.safetensors` in a folder; each goes on with its frame. For the frames that were made again,
    `part-NUMBER-FIRST-END` goes on with FIRST and leads through the pictures of that part; a later number counts.

    every_frames: the least distance. max_bytes: of all together; beyond it every second one goes.
    """

    def __init__(self, folder: Path, every_frames: int = 0, max_bytes: int = 0) -> None:
        self._folder = folder
        self._every_frames = every_frames
        self._max_bytes = max_bytes
        self.reseeded = folder / "reseeded"
        """With which the part begins that is made again in this film."""

    def path(self, frame: int) -> Path:
        """Where the one of this frame lies."""
        return self._folder / f"{frame}.safetensors"

    def frames(self) -> list[int]:
        """Of all that are kept, in order."""
        return sorted(int(path.stem) for path in self._folder.glob("*.safetensors"))

    def before(self, frame: int) -> int | None:
        """The last one from which `frame` can be reached."""
        return max((kept for kept in self.frames() if kept <= frame), default=None)

    def leading_to(self, frame: int) -> tuple[Path, int] | None:
        """The saved stream from which the film's own pictures lead to `frame`, and its own frame."""
        around = [part for part in self._parts() if part[1] <= frame < part[2]]
        if around:
            _, first, _, path = max(around)
            return path, first
        kept = self.before(frame)
        return None if kept is None else (self.path(kept), kept)

    def handed_on(self, span: Span | None) -> dict[Path, str]:
        """What a film needs that is made of this one, and the names there; span: what was made again in this one."""
        parts = self._parts()
        if span:
            parts = [part for part in parts if not span.first <= part[1] < part[2] <= span.end]
        names = {path: path.name for path in (*map(self.path, self.frames()), *(part[3] for part in parts))}
        if span:
            number = max((part[0] for part in parts), default=0) + 1
            names[self.reseeded] = f"part-{number}-{span.first}-{span.end}"
        return names

    def _parts(self) -> list[tuple[int, int, int, Path]]:
        """(number, first frame, end, file) of each."""
        found = ((_PART.fullmatch(path.name), path) for path in self._folder.glob("part-*"))
        return [(int(name[1]), int(name[2]), int(name[3]), path) for name, path in found if name]

    def keep(self, frame: int, session: Path) -> None:
        """Keep a saved session, if the last one kept is far enough away. Raises EngineError(disk_full)."""
        kept = self.frames()
        gap = max(self._every_frames, kept[-1] - kept[-2] if len(kept) > 1 else 0)
        if kept and frame < kept[-1] + gap:
            return
        with plain_errors("the saved session"):
            self._folder.mkdir(exist_ok=True)
        share_file(session, self.path(frame))
        kept.append(frame)
        while len(kept) > 2 and sum(self.path(one).stat().st_size for one in kept) > self._max_bytes:
            for one in kept[1::2]:
                self.path(one).unlink()
            kept = kept[::2]
