"""One film in one mp4 file that plays while it grows and can be continued after a kill, byte for byte.

Called by the command line and by long jobs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from flashtalk.errors import ConfigError, EngineError, InputError, SessionClosed
from flashtalk.media.encode import MediaFormat, SegmentEncoder
from flashtalk.media.part_file import PartFile, plain_errors, sync_folder
from flashtalk.media.progressive import write_progressive


def part_path(path: str | Path) -> Path:
    """Where the film is until it is complete: `film.part.mp4` beside `film.mp4`."""
    return Path(path).with_suffix(".part.mp4")


class Mp4Writer:
    """Writes `part_path(path)` segment by segment; `close` makes `path` of it: a plain mp4, its index in front.

    As a context manager it closes at the end; after an exception the part file stays: it plays, and with a checkpoint
    it can be resumed. An existing `path` is replaced only when the new film is complete; an existing part file is begun
    anew. A call that raises leaves film and writer as they were. Not for several threads at once.

    Raises InputError(output_name, output_folder, output_forbidden, output_busy), EngineError(disk_full, output_failed).
    """

    def __init__(self, path: str | Path, media: MediaFormat) -> None:
        self._set_up(path, SegmentEncoder(media), create=True)
        with self._released_on_error():
            self._part.append(self._encoder.init_segment())

    @classmethod
    def resume(cls, path: str | Path, state: Mapping[str, Any]) -> Self:
        """Continue the film of `checkpoint()`: what was written after it is dropped.

        Raises EngineError: state_damaged, part_missing, part_damaged, encoder_changed.
        """
        try:
            saved, size, crc = state["encoder"], int(state["bytes"]), int(state["crc32"])
            encoder = SegmentEncoder(MediaFormat(**saved["format"]))
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise EngineError("The checkpoint is not one of a film.", code="state_damaged") from error
        encoder.restore(saved)
        writer = cls.__new__(cls)
        writer._set_up(path, encoder, create=False)
        with writer._released_on_error():
            writer._part.go_back_to(size, crc)
            writer._check_start()
        return writer

    def _set_up(self, path: str | Path, encoder: SegmentEncoder, *, create: bool) -> None:
        self._path = _checked(Path(path))
        self._encoder = encoder
        self._part = PartFile(part_path(path), create=create)
        self._open = True

    def _check_start(self) -> None:
        start = self._encoder.init_segment()
        if self._part.head(len(start)) != start:
            message = "The film was begun with another version of the encoders; use that version or begin it again."
            raise EngineError(message, code="encoder_changed")

    def write(self, frames_FHWC: np.ndarray, samples: np.ndarray) -> None:
        """Add one segment (see `SegmentEncoder.encode`); on return it is on the disk."""
        self._check_open()
        with self._all_or_nothing():
            self._part.append(self._encoder.encode(frames_FHWC, samples))

    def checkpoint(self) -> dict[str, Any]:
        """What `resume` needs; fits JSON. A film resumed from it loses what was written later."""
        self._check_open()
        return {"bytes": self._part.size, "crc32": self._part.crc, "encoder": self._encoder.state()}

    def close(self) -> None:
        """Complete the film: `path` appears in one step, then the part file goes. A second call does nothing.

        Raises InputError(empty_output) if no frame was written; EngineError(disk_full), after which the part file still
        plays and `close` may be called again.
        """
        if not self._open:
            return
        if not self._encoder.frames_written:
            self._remove_part()
            raise InputError("No frame was written, so there is no film.", code="empty_output")
        if not self._encoder.flushed:
            with self._all_or_nothing():
                self._part.append(self._encoder.flush())
        self._publish()
        self._remove_part()

    def suspend(self) -> None:
        """Let go of the film without completing it; the part file stays and can be resumed."""
        self._open = False
        self._part.close()

    def _publish(self) -> None:
        """Make the complete film beside the part file and put it in place in one step."""
        finished = self._path.with_suffix(".finishing.mp4")
        with plain_errors(self._path.name):
            try:
                with self._part.path.open("rb") as source, finished.open("wb") as target:
                    write_progressive(source, target, self._encoder.tracks, self._encoder.movie_timescale)
                    target.flush()
                    os.fsync(target.fileno())
                finished.replace(self._path)
            finally:
                finished.unlink(missing_ok=True)
            sync_folder(self._path.parent)

    def _remove_part(self) -> None:
        with plain_errors(self._part.path.name):
            self._part.path.unlink(missing_ok=True)
        self.suspend()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """What could not be written counts as not encoded."""
        before = self._encoder.state()
        try:
            yield
        except BaseException:
            self._encoder.restore(before)
            raise

    @contextmanager
    def _released_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.suspend()
            raise

    def _check_open(self) -> None:
        if not self._open:
            raise SessionClosed("This film was closed; begin a new one or resume it.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        with self._released_on_error():
            if kind is None:
                self.close()
        self.suspend()


def _checked(path: Path) -> Path:
    """A name that a film can have. Raises InputError(output_name, output_folder)."""
    if path.suffix.lower() != ".mp4" or path.is_dir():
        message = f"{path.name} cannot be the name of a film; give a file name that ends in .mp4."
        raise InputError(message, code="output_name")
    if not path.parent.is_dir():
        message = f"The folder {path.parent.name!r} for {path.name} does not exist; make it first."
        raise InputError(message, code="output_folder")
    return path
