"""One row for each chunk of a film: where its bytes are, how long it took and how it looks. From rows come the
playlist of the growing film and the drift curves. Called by render.py, room.py and the tab.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flashtalk.media.part_file import plain_errors, sync_file
from flashtalk.serving.jobs.drift import Look

_SINGLE, _TOGETHER = 16, 8


@dataclass(frozen=True)
class Row:
    """One chunk. `at`, `size`: its segment in the growing film; `seconds`: what it took to make."""

    chunk: int
    frame: int
    frames: int
    at: int
    size: int
    seconds: float
    look: Look


class Rows:
    """The rows of one film, in memory and in a file of a line each. One thread writes, others read `all`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.all: tuple[Row, ...] = tuple(_read(path))

    def cut(self, film_bytes: int) -> None:
        """Drop rows beyond what is safely in the film."""
        self.replace(tuple(row for row in self.all if row.at + row.size <= film_bytes))

    def replace(self, rows: tuple[Row, ...]) -> None:
        """Have these instead."""
        temporary = self._path.with_suffix(".new")
        with plain_errors("the film's index"):
            temporary.write_text("".join(map(_line, rows)), encoding="utf-8")
            sync_file(temporary)
            temporary.replace(self._path)
        self.all = rows

    def add(self, row: Row) -> None:
        """One more chunk."""
        with plain_errors("the film's index"), self._path.open("a", encoding="utf-8") as file:
            file.write(_line(row))
        self.all = (*self.all, row)

    def sync(self) -> None:
        """Have them outlive a power cut; the film's journal must never know more chunks than its rows."""
        with plain_errors("the film's index"):
            sync_file(self._path)


def pieces(rows: Sequence[Row], *, ended: bool) -> list[Sequence[Row]]:
    """What a player fetches at a time: single chunks first, so that it can begin, then so many at once that the list
    of a film of hours stays short. The chunks of an unfinished film that do not fill a piece yet are left out.
    """
    later = [rows[at : at + _TOGETHER] for at in range(_SINGLE, len(rows), _TOGETHER)]
    whole = [piece for piece in later if ended or len(piece) == _TOGETHER]
    return [*(rows[at : at + 1] for at in range(min(_SINGLE, len(rows)))), *whole]


def playlist(rows: Sequence[Row], fps: int, *, ended: bool) -> str:
    """HLS of the growing film: `init.mp4` and `N.m4s` beside it."""
    lengths_s = [sum(row.frames for row in piece) / fps for piece in pieces(rows, ended=ended)]
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(max(lengths_s, default=1.0))}",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        '#EXT-X-MAP:URI="init.mp4"',
    ]
    for number, length_s in enumerate(lengths_s):
        lines += [f"#EXTINF:{length_s:.5f},", f"{number}.m4s"]
    return "\n".join([*lines, *["#EXT-X-ENDLIST"] * ended, ""])


def _line(row: Row) -> str:
    return json.dumps(asdict(row)) + "\n"


def _read(path: Path) -> list[Row]:
    """Rows up to the first line that a kill left torn."""
    rows: list[Row] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                tree = json.loads(line)
                rows.append(Row(**{**tree, "look": Look(**tree["look"])}))
            except (ValueError, TypeError, KeyError):
                break
    return rows
