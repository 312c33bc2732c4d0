"""Saved streams from which a part of a film can be made again: one now and then, farther apart in long films.

Called by render.py, which keeps them, and span.py, which begins with one.
"""

from __future__ import annotations

from pathlib import Path

from flashtalk.media.part_file import plain_errors, share_file


class States:
    """The files `FRAME.safetensors` in a folder; each goes on with its frame.

    every_frames: the least distance. max_bytes: of all together; beyond it every second one goes.
    """

    def __init__(self, folder: Path, every_frames: int = 0, max_bytes: int = 0) -> None:
        self._folder = folder
        self._every_frames = every_frames
        self._max_bytes = max_bytes

    def path(self, frame: int) -> Path:
        """Where the one of this frame lies."""
        return self._folder / f"{frame}.safetensors"

    def frames(self) -> list[int]:
        """Of all that are kept, in order."""
        return sorted(int(path.stem) for path in self._folder.glob("*.safetensors"))

    def before(self, frame: int) -> int | None:
        """The last one from which `frame` can be reached."""
        return max((kept for kept in self.frames() if kept <= frame), default=None)

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
