"""`flashtalk generate --resume`: a film continued after a kill at any moment is the film never interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flashtalk.commands.generate import JOURNAL_CHUNKS
from flashtalk.config import Config
from flashtalk.config_app import ServingConfig
from flashtalk.engine.engine import Engine
from flashtalk.errors import EngineError, InputError
from flashtalk.media.mp4 import Mp4Writer
from flashtalk.pipeline.session import Session
from flashtalk.serving import local
from flashtalk.serving.journal import Journal
from flashtalk.types import VideoChunk
from tests.commands.kit import Kit, flashtalk, make_kit, voice

RATE = 44100
FRAMES = 73
CHUNKS = 10
SAMPLED_MOMENTS = 12
AHEAD = ServingConfig.ahead_chunks + 1
"""Chunks that are made, or under way, while the film is written."""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, tiny_config: Config) -> Kit:
    # One sample more than whole frames have, which only the last chunk may bring.
    samples = voice((FRAMES * RATE // 25 + 1) / RATE, RATE)
    return make_kit(tmp_path_factory.mktemp("inputs"), tiny_config, samples, RATE)


@pytest.fixture(scope="module")
def whole(kit: Kit) -> bytes:
    """The film never interrupted."""
    assert flashtalk(*kit.arguments("--quiet")) == 0
    return kit.film.read_bytes()


class Moments:
    """Copies a folder around every change of its files: what a kill at that moment leaves."""

    def __init__(self, folder: Path, copies: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.copies = folder, copies
        self.chunks: list[int] = []
        """Chunks computed before each moment."""
        self.computed = computed_chunks(patch)
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "rmdir")):
            patch.setattr(owner, name, self._before(getattr(owner, name)))
        patch.setattr(Path, "open", self._after(Path.open))

    def _copy(self) -> None:
        shutil.copytree(self.folder, self.copies / f"{len(self.chunks):03d}")
        self.chunks.append(len(self.computed))

    def _before(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self._copy()
            return change(*arguments, **options)

        return watched

    def _after(self, opened: Callable[..., Any]) -> Callable[..., Any]:
        def watched(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            file = opened(path, mode, *arguments, **options)
            if "w" in mode and path.is_relative_to(self.folder):
                self._copy()
            return file

        return watched


def computed_chunks(patch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every chunk that is computed from now on."""
    chunks: list[int] = []
    step = Session.step

    def watched(session: Session) -> VideoChunk:
        chunks.append(session.frames_done)
        return step(session)

    patch.setattr(Session, "step", watched)
    return chunks


def test_a_kill_at_any_moment_changes_nothing_and_loses_little(kit: Kit, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        moments = Moments(tmp_path / "film", tmp_path, patch)
        assert flashtalk(*kit.in_folder(tmp_path / "film").arguments("--quiet")) == 0
    last = len(moments.chunks)
    assert last > 3 * CHUNKS
    for moment in {*range(0, last, last // SAMPLED_MOMENTS), *range(last - 12, last)}:
        resumed = kit.in_folder(tmp_path / f"{moment:03d}")
        was_complete = resumed.film.exists() and not (resumed.journal / "journal.json").exists()
        with pytest.MonkeyPatch.context() as patch:
            computed = computed_chunks(patch)
            status = InputError.exit_status if was_complete else 0
            assert flashtalk(*resumed.arguments("--resume", "--quiet")) == status
        assert resumed.film.read_bytes() == whole, moment
        assert not was_complete or not computed, moment
        assert was_complete or resumed.left() == [], moment
        assert was_complete or moments.chunks[moment] + len(computed) <= CHUNKS + JOURNAL_CHUNKS + AHEAD, moment


def test_a_real_kill_and_a_ctrl_c(kit: Kit, whole: bytes, tmp_path: Path) -> None:
    """At random lengths of the film; each run goes on from what the one before left."""
    killed = kit.in_folder(tmp_path)
    command = killed.arguments("--resume", "--overwrite", "--quiet")
    stops = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}
    ends = []
    lengths = np.sort(np.random.default_rng(0).uniform(0.1, 0.6, 2)) * len(whole)
    for length, stop in zip(lengths, stops, strict=True):
        run = subprocess.Popen([sys.executable, "-m", "flashtalk", *command])
        wait_for_size(killed.part, length)
        run.send_signal(stop)
        ends.append(run.wait() == stops[stop])
    # A run may have ended just before its stop; not both of them.
    assert any(ends)
    assert flashtalk(*command) == 0
    assert killed.film.read_bytes() == whole
    assert killed.left() == []


def wait_for_size(film: Path, size: float, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not (film.exists() and film.stat().st_size >= size):
        assert time.monotonic() < deadline, "the film never grew so long"
        time.sleep(0.001)


def interrupted(kit: Kit, folder: Path, error: BaseException, chunks: int = CHUNKS // 2) -> tuple[Kit, int]:
    """A film whose writing failed after so many chunks, and the exit status."""
    stopped, write, written = kit.in_folder(folder), Mp4Writer.write, 0

    def fail(film: Mp4Writer, frames_FHWC: np.ndarray, samples: np.ndarray) -> None:
        nonlocal written
        if written == chunks:
            raise error
        written += 1
        write(film, frames_FHWC, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mp4Writer, "write", fail)
        return stopped, flashtalk(*stopped.arguments())


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), 130), (EngineError("No room on the disk.", code="disk_full"), EngineError.exit_status)],
    ids=["ctrl-c", "disk-full"],
)
def test_a_stop_says_how_to_go_on(
    kit: Kit, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, status: int
) -> None:
    stopped, got = interrupted(kit, tmp_path, error)
    assert got == status
    said = capsys.readouterr()
    assert "--resume" in said.err
    assert said.err.endswith("stopped\n" if status == 130 else "No room on the disk.\n")
    assert "Traceback" not in said.err
    assert not said.out
    assert flashtalk(*stopped.arguments("--resume")) == 0
    said = capsys.readouterr()
    assert "resuming at frame" in said.err
    assert "of them now" in said.out
    assert stopped.film.read_bytes() == whole


def test_a_lost_device_ends_the_film_soon_and_says_how_to_go_on(
    kit: Kit, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its own process a device that failed does not come back: every later engine meets the same error."""
    stopped, build, step, lost = kit.in_folder(tmp_path), local.Engine, Session.step, threading.Event()

    def break_down(session: Session) -> VideoChunk:
        if session.frames_done >= FRAMES // 2:
            lost.set()
            raise torch.AcceleratorError("device lost")
        return step(session)

    def build_if_well(config: Config) -> Engine:
        if lost.is_set():
            raise torch.AcceleratorError("device lost")
        return build(config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "step", break_down)
        patch.setattr(local, "Engine", build_if_well)
        assert flashtalk(*stopped.arguments()) == EngineError.exit_status
    said = capsys.readouterr().err
    assert "could not be started again" in said
    assert "--resume" in said
    assert "Traceback" not in said
    assert flashtalk(*stopped.arguments("--resume", "--quiet")) == 0
    assert stopped.film.read_bytes() == whole


def test_nothing_to_resume_is_said(kit: Kit, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = kit.in_folder(tmp_path)
    assert flashtalk(*fresh.arguments("--resume")) == 0
    assert "nothing to resume" in capsys.readouterr().err
    assert fresh.film.read_bytes() == whole


def test_a_finished_film_is_replaced_only_when_asked(
    kit: Kit, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = kit.in_folder(tmp_path)
    finished.film.write_bytes(b"precious")
    assert flashtalk(*finished.arguments("--resume")) == InputError.exit_status
    assert "is finished" in capsys.readouterr().err
    assert finished.film.read_bytes() == b"precious"
    assert flashtalk(*finished.arguments("--resume", "--overwrite", "--quiet")) == 0
    assert finished.film.read_bytes() == whole


def test_a_lost_part_file_is_said_and_begun_anew(
    kit: Kit, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped, _ = interrupted(kit, tmp_path, KeyboardInterrupt())
    stopped.part.unlink()
    assert flashtalk(*stopped.arguments("--resume")) == 0
    assert "starting from the beginning" in capsys.readouterr().err
    assert stopped.film.read_bytes() == whole


def test_a_begun_film_is_neither_lost_nor_continued_by_accident(
    kit: Kit, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped, _ = interrupted(kit, tmp_path, KeyboardInterrupt())
    before = stopped.part.read_bytes()
    assert flashtalk(*stopped.arguments()) == 3
    said = capsys.readouterr().err
    assert "--resume" in said
    assert "--overwrite" in said
    assert stopped.part.read_bytes() == before
    assert flashtalk(*stopped.arguments("--overwrite", "--quiet")) == 0
    assert stopped.film.read_bytes() == whole
    assert stopped.left() == []


OTHER = {
    "seed": (["--seed", "7"], "stream.seed was 0, now it is 7"),
    "steps": (["--steps", "4"], "stream.steps was 2, now it is 4"),
    "prompt": (["--prompt", "smile"], "prompt was"),
    "weights": (["--set", "checkpoint.init_seed=5"], "checkpoint.init_seed"),
}


@pytest.mark.parametrize(("options", "words"), OTHER.values(), ids=OTHER)
def test_other_settings_are_refused(
    kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    stopped, _ = interrupted(kit, tmp_path, KeyboardInterrupt())
    before = stopped.part.read_bytes()
    assert flashtalk(*stopped.arguments("--resume", *options)) == 3
    assert words in capsys.readouterr().err
    assert stopped.part.read_bytes() == before


@pytest.mark.parametrize("name", ["portrait", "audio"])
def test_another_file_is_refused(kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    stopped, _ = interrupted(kit, tmp_path, KeyboardInterrupt())
    changed = tmp_path / getattr(kit, name).name
    # Both formats allow bytes after their end: the same picture or sound in another file.
    changed.write_bytes(getattr(kit, name).read_bytes() + b"\0\0")
    assert flashtalk(*stopped.arguments("--resume", f"--{name}", str(changed))) == 3
    assert f"the {name} is another file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": 99, "inputs": {}, "film": {}, "frames": 0}']
)
def test_a_damaged_journal_is_refused(kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    stopped, _ = interrupted(kit, tmp_path, KeyboardInterrupt())
    (stopped.journal / "journal.json").write_text(text)
    assert flashtalk(*stopped.arguments("--resume")) == EngineError.exit_status
    assert "--overwrite" in capsys.readouterr().err


def test_other_files_in_the_journals_folder_stay(kit: Kit, tmp_path: Path) -> None:
    other = kit.in_folder(tmp_path)
    other.journal.mkdir()
    (other.journal / "diary.txt").write_text("mine")
    assert flashtalk(*other.arguments("--quiet")) == 0
    assert [file.name for file in other.journal.iterdir()] == ["diary.txt"]


def test_two_at_once_on_one_film_are_refused(
    kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, _ = interrupted(kit, tmp_path, KeyboardInterrupt())
    before = {file.name: file.read_bytes() for file in stopped.journal.iterdir()}
    capsys.readouterr()
    with Mp4Writer.resume(stopped.film, Journal(stopped.film).read().film) as running:
        assert flashtalk(*stopped.arguments("--overwrite")) == 3
        assert flashtalk(*stopped.arguments("--resume")) == 3
        running.suspend()
    assert capsys.readouterr().err.count("is being written by another program") == 2
    assert {file.name: file.read_bytes() for file in stopped.journal.iterdir()} == before
