"""The journal beside an unfinished film: what is needed to go on. For commands/generate.py and long jobs (jobs/).

`film.journal/` stands beside `film.mp4` while it is made. `journal.json` holds the inputs, the film's checkpoint and
the name of the session file that belongs to it; replacing it is the one rename that makes a new state count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flashtalk.errors import EngineError
from flashtalk.media.part_file import plain_errors, sync_folder

FORMAT = 2
LOST = ("part_missing", "part_damaged", "state_damaged", "journal_damaged", "journal_version")
"""Codes of what leaves nothing to go on from, an upgrade included: a long film is then made from its beginning."""


def journal_path(output: str | Path) -> Path:
    """The folder where the journal of `output` is: `film.journal` beside `film.mp4`."""
    return Path(output).with_suffix(".journal")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One state of the work; what lies in `film` and `session` belongs together."""

    inputs: dict[str, Any]
    """What the film is made of; a film can be continued with the same only."""
    film: dict[str, Any]
    """`Mp4Writer.checkpoint()`."""
    frames: int
    """Frames in the film."""
    sound_ended: bool = False
    """Whether the session was flushed."""
    samples_fed: int = 0
    """Of the sound, to the session."""
    session: str | None = None
    """The session's file in the journal's folder, named by `Journal.write`; None: every frame is in the film."""
    format: int = FORMAT


class Journal:
    """See the module's docstring. Raises EngineError and InputError as media/part_file.py does for disk errors."""

    def __init__(self, output: Path) -> None:
        self.folder = journal_path(output)
        self._index = self.folder / "journal.json"

    def exists(self) -> bool:
        """Whether there is a state to go on from."""
        return self._index.is_file()

    def read(self) -> Entry:
        """The last state. Raises EngineError(journal_damaged, journal_version), or that the disk does not give it."""
        try:
            with plain_errors(self.folder.name):
                entry = Entry(**json.loads(self._index.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise EngineError(
                f"{self.folder.name} is damaged; begin the film again with --overwrite", code="journal_damaged"
            ) from None
        if entry.format != FORMAT:
            raise EngineError(
                f"{self.folder.name} was written by another version of this program; use that version, or begin the "
                "film again with --overwrite",
                code="journal_version",
            )
        return entry

    def session_file(self, entry: Entry) -> Path:
        """Where the session of an entry was saved."""
        assert entry.session is not None, "a complete film has no session"
        return self.folder / entry.session

    def write(self, entry: Entry, save: Callable[[Path], None] | None = None) -> None:
        """Replace the state; `save` writes the session. A kill at any moment leaves the old one or the new one, whole.

        None: every frame is in the film.
        """
        name = f"session-{entry.frames}.safetensors" if save else None
        with plain_errors(self.folder.name):
            self.folder.mkdir(exist_ok=True)
            if save and name:
                save(self.folder / name)
            self._replace_index(json.dumps(asdict(replace(entry, session=name))))
            self._drop_sessions(keep=name)

    def remove(self) -> None:
        """Forget everything, the state first. Other files in the folder stay, and then the folder too."""
        with plain_errors(self.folder.name):
            if not self.folder.is_dir():
                return
            self._index.unlink(missing_ok=True)
            self._index.with_suffix(".new").unlink(missing_ok=True)
            self._drop_sessions()
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _drop_sessions(self, keep: str | None = None) -> None:
        for file in self.folder.glob("session-*"):
            if file.name != keep:
                file.unlink()

    def _replace_index(self, text: str) -> None:
        temporary = self._index.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.folder)
        temporary.replace(self._index)
        sync_folder(self.folder)
        sync_folder(self.folder.parent)
