"""Long videos of hours, without making one: their lists stay short, their saved states within what they may take."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from flashtalk.errors import EngineError
from flashtalk.media import part_file
from flashtalk.serving.jobs.drift import Look
from flashtalk.serving.jobs.record import JobFolder
from flashtalk.serving.jobs.rows import Row, Rows, pieces, playlist
from flashtalk.serving.jobs.states import States

HOURS_CHUNKS = 6 * 3600 * 25 // 28
STATE_BYTES = 1000


def rows(count: int) -> list[Row]:
    return [Row(n, 28 * n, 28, 100 + 7 * n, 7, 0.5, Look(1, 1, 0)) for n in range(count)]


def test_a_growing_list_only_grows() -> None:
    before: list[list[Row]] = []
    for count in range(60):
        now = [list(piece) for piece in pieces(rows(count), ended=False)]
        assert now[: len(before)] == before, "what a player was told once never changes"
        ended = [row for piece in pieces(rows(count), ended=True) for row in piece]
        assert ended == rows(count)
        before = now


def test_the_list_of_six_hours_is_short_and_says_their_length() -> None:
    text = playlist(rows(HOURS_CHUNKS), 25, ended=True)
    lengths_s = [float(line[8:-1]) for line in text.splitlines() if line.startswith("#EXTINF")]
    assert len(text) < 80_000
    assert sum(lengths_s) == pytest.approx(HOURS_CHUNKS * 28 / 25, abs=0.1)
    assert lengths_s[0] == 1.12, "the first pictures are there at once"
    assert f"#EXT-X-TARGETDURATION:{-(-max(lengths_s) // 1):g}" in text


def test_states_keep_their_distance_and_their_bound(tmp_path: Path) -> None:
    session = tmp_path / "session"
    session.write_bytes(bytes(STATE_BYTES))
    states = States(tmp_path / "states", every_frames=1500, max_bytes=12 * STATE_BYTES)
    for frame in range(0, 6 * 3600 * 25, 112):
        states.keep(frame, session)
        kept = states.frames()
        assert len(kept) <= 12
        assert kept[0] == 0
    gaps = [later - before for before, later in pairwise(kept)]
    assert max(gaps) <= 2 * min(gaps) + 112, "wherever a part begins, no more than this has to be made once more"
    assert 6 * 3600 * 25 - kept[-1] <= 2 * max(gaps)
    assert states.before(kept[3] + 1) == kept[3]
    assert states.before(kept[3]) == kept[3]


def test_where_files_have_one_name_only_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, _old: Path) -> None:
        raise PermissionError(1, "not here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "old").write_bytes(b"film")
    part_file.share_file(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == b"film"


def test_a_copy_that_broke_off_is_not_taken_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"film")

    def refuse(self: Path, _old: Path) -> None:
        raise FileExistsError(17, "there") if self.exists() else PermissionError(1, "not here")

    def torn(_old: Path, name: Path, **_: object) -> None:
        name.write_bytes(b"fi")
        raise OSError(28, "no space")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with monkeypatch.context() as full:
        full.setattr(part_file.shutil, "copyfile", torn)
        with pytest.raises(EngineError, match="No room on the disk"):
            part_file.share_file(old, new)
    part_file.share_file(old, new)
    assert new.read_bytes() == b"film"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_rows_are_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = JobFolder(tmp_path).rows
    film = Rows(path)
    for row in rows(5):
        film.add(row)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(Exception, match="No room on the disk"):
        film.cut(100 + 7 * 3)
    assert film.all == Rows(path).all == tuple(rows(5))
    monkeypatch.undo()
    film.cut(100 + 7 * 3)
    assert film.all == Rows(path).all == tuple(rows(3))
