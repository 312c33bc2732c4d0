"""Real ranks in processes with a tiny engine: they die, hang and lose their parent, and the frames stay the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from flashtalk.config import Config
from flashtalk.config_file import replace as changed
from flashtalk.config_file import to_tree
from flashtalk.engine.engine import Engine
from flashtalk.errors import CheckpointError, InputError
from flashtalk.serving.client import connect
from flashtalk.serving.protocol import Client
from flashtalk.serving.seat import Seat
from flashtalk.serving.worker import Canary
from tests.conftest import build_tiny_config
from tests.engine.compiled_start import TINY
from tests.pipeline.conftest import picture_of, speech
from tests.serving.test_line import wait_until

SOON_S = 60.0
CHUNK = 28 * 640
PARENT = """
import json, sys
from flashtalk.config import Config
from flashtalk.config_file import from_tree
from flashtalk.serving.client import House
from flashtalk.serving.launch import ProcessRank
from flashtalk.serving.nursery import Nursery
makers = iter((Nursery().rank, ProcessRank))
house = House(from_tree(Config, json.load(open(sys.argv[1]))), lambda: next(makers)()).start()
sys.stdout.write("{} {}\\n".format(*house.status().processes))
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def config(tiny_config: Config) -> Config:
    stream = replace(tiny_config.stream, steps=2, audio_context_s=2.0)
    runtime = replace(tiny_config.runtime, threads=1)
    return replace(
        tiny_config, stream=stream, runtime=runtime, serving=replace(tiny_config.serving, hang_s=2.0, spare=False)
    )


@pytest.fixture(scope="module")
def house(config: Config) -> Iterator[Client]:
    with connect(config) as house:
        yield house


@pytest.fixture(scope="module")
def alone(config: Config) -> np.ndarray:
    """Frames of an engine that nothing happened to."""
    with Engine(config) as engine:
        session = engine.open(picture_of(1), seed=3)
        return np.concatenate([c.frames_FHWC for c in (*session.feed(speech(4 * CHUNK)), *session.flush())])


def test_the_isolated_client_makes_the_frames_of_the_engine(house: Client, alone: np.ndarray) -> None:
    with house.open(picture_of(1), seed=3) as seat:
        seat.feed(speech(4 * CHUNK))
        seat.finish()
        assert np.array_equal(np.concatenate([chunk.frames_FHWC for chunk in seat]), alone)


@pytest.mark.parametrize(("blow", "limit_s"), [(signal.SIGKILL, 1.0), (signal.SIGSTOP, 5.0)], ids=["died", "hung"])
def test_a_lost_engine_is_noticed_replaced_and_the_film_is_the_same(
    house: Client, alone: np.ndarray, blow: signal.Signals, limit_s: float
) -> None:
    frames = []
    with house.open(picture_of(1), seed=3) as seat:
        seat.feed(speech(4 * CHUNK))
        seat.finish()
        chunk = seat.next(SOON_S)
        assert chunk is not None
        frames.append(chunk.frames_FHWC)
        pid, generation = house.status().processes[0], house.status().generation
        os.kill(pid, blow)
        struck_s = time.monotonic()
        wait_until(lambda: not house.status().ready)
        assert time.monotonic() - struck_s < limit_s
        wait_until(lambda: not psutil.pid_exists(pid), 5.0)
        frames += [chunk.frames_FHWC for chunk in iter(lambda: seat.next(SOON_S), None)]
    assert np.array_equal(np.concatenate(frames), alone)
    assert house.status().generation == generation + 1
    assert house.status().ready


def test_an_interruption_is_the_same_in_a_process_and_in_a_session(house: Client, config: Config) -> None:
    said, answer = speech(3 * CHUNK, 1), speech(2 * CHUNK, 2)
    with Engine(config) as engine:
        session = engine.open(picture_of(1), lookahead_frames=4)
        list(session.feed(said))
        session.interrupt(1)
        wanted = [chunk.frames_FHWC for chunk in (*session.feed(answer), *session.flush())]
    with house.open(picture_of(1), lookahead_frames=4) as seat:
        seat.feed(said)
        for _ in range(2):
            seat.next(SOON_S)
        seat.interrupt(1)
        seat.feed(answer)
        seat.finish()
        made = [chunk.frames_FHWC for chunk in seat]
    assert np.array_equal(np.concatenate(made), np.concatenate(wanted))


def test_a_saved_stream_goes_on_in_another_engine(
    house: Client, config: Config, alone: np.ndarray, tmp_path: Path
) -> None:
    whole, path = speech(4 * CHUNK), tmp_path / "stream"
    with house.open(picture_of(1), seed=3) as seat:
        seat.feed(whole[: 2 * CHUNK + 999])
        made = [seat.next(SOON_S) for _ in range(2)]
        seat.save(path)
    assert os.listdir(tmp_path) == ["stream"]  # noqa: PTH208
    with connect(config, isolated=False) as local, local.restore(path) as seat:
        seat.feed(whole[2 * CHUNK + 999 :])
        seat.finish()
        made += list(seat)
    with Engine(config) as engine:
        session = engine.restore(path)
        rest = [chunk.frames_FHWC for chunk in (*session.feed(whole[2 * CHUNK + 999 :]), *session.flush())]
    assert np.array_equal(np.concatenate([chunk.frames_FHWC for chunk in made if chunk]), alone)
    assert np.array_equal(np.concatenate(rest), alone[56:])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="not a saved session"):
        house.restore(path)


def test_an_interrupted_stream_is_saved_without_what_it_was_to_say(
    house: Client, config: Config, tmp_path: Path
) -> None:
    said, answer, paths = speech(3 * CHUNK, 1), speech(2 * CHUNK, 2), (tmp_path / "at once", tmp_path / "made ahead")
    with Engine(config) as engine:
        session = engine.open(picture_of(1), lookahead_frames=4)
        list(session.feed(said))
        session.interrupt(1)
        wanted = np.concatenate([chunk.frames_FHWC for chunk in (*session.feed(answer), *session.flush())])
    with house.open(picture_of(1), lookahead_frames=4) as seat:
        assert isinstance(seat, Seat)
        seat.feed(said)
        for _ in range(2):
            seat.next(SOON_S)
        seat.interrupt(1)
        seat.save(paths[0])
        seat.feed(answer)
        wait_until(lambda: not seat.has_order)
        seat.save(paths[1])
    for path, rest in zip(paths, (answer, answer[:0]), strict=True):
        with house.restore(path) as seat:
            seat.feed(rest)
            seat.finish()
            assert np.array_equal(np.concatenate([chunk.frames_FHWC for chunk in seat]), wanted), path.name


def test_errors_of_the_engine_arrive_as_what_they_are(house: Client, config: Config) -> None:
    with pytest.raises(InputError):
        house.open(np.zeros((1, 1, 3), np.uint8))
    missing = replace(config, checkpoint=replace(config.checkpoint, source="no/such/folder"))
    with pytest.raises(CheckpointError):
        connect(missing, isolated=False)


def test_no_process_outlives_its_app(config: Config, tmp_path: Path) -> None:
    """A group of one rank that was forked and one that was not, both stopped: only the kernel can end them."""
    settings, shared = tmp_path / "config.json", set(Path("/dev/shm").iterdir())
    settings.write_text(json.dumps(to_tree(replace(config, parallel=replace(config.parallel, ranks=2)))))
    (tmp_path / "tmp").mkdir()
    app = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(settings)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    with app:
        assert app.stdout
        pids = [int(word) for word in app.stdout.readline().split()]
        assert len(pids) == 2
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        app.kill()
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 5.0)
    assert list((tmp_path / "tmp").iterdir()) == []
    assert set(Path("/dev/shm").iterdir()) <= shared


def test_successors_are_forked_from_a_nursery_that_is_replaced_too(config: Config) -> None:
    me = psutil.Process()
    before = set(me.children())
    with (
        connect(replace(config, serving=replace(config.serving, spare=True))) as house,
        house.open(picture_of(1)) as seat,
    ):
        (nursery,) = set(me.children()) - before
        for victim in ("rank", "rank", "nursery"):
            generation = house.status().generation
            os.kill(nursery.pid if victim == "nursery" else house.status().processes[0], signal.SIGKILL)
            seat.feed(speech(CHUNK))
            assert seat.next(SOON_S)
            wait_until(lambda known=generation: house.status().generation == known + 1, SOON_S)
            wait_until(lambda: house.status().ready, SOON_S)
            assert psutil.Process(house.status().processes[0]).ppid() == (set(me.children()) - before).pop().pid
            assert sum(1 + len(child.children(recursive=True)) for child in set(me.children()) - before) == 2
    assert set(me.children()) <= before


def test_an_engine_that_hears_far_ahead_can_be_looked_at() -> None:
    """Far: more than a chunk for nobody had of sound."""
    settings = {"stream.chunk_frames": 13, "stream.first_chunk_frames": 13, "stream.lookahead_frames": 20}
    config = changed(build_tiny_config("tiny", TINY), settings | {"stream.audio_context_s": 2.0, "stream.steps": 2})
    with Engine(config) as engine:
        canary = Canary(engine)
        assert canary.sing()
        assert canary.sing()
