"""A house of several ranks (gloo, tiny networks): the film of one rank, whichever of them dies or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from flashtalk.config import Config
from flashtalk.config_file import replace as changed
from flashtalk.engine.engine import Engine
from flashtalk.errors import CheckpointError, ConfigError, InputError
from flashtalk.serving.client import connect
from flashtalk.serving.launch import is_ending, meeting_place
from flashtalk.serving.protocol import Client, Stream
from tests.pipeline.conftest import picture_of, speech
from tests.serving.test_line import wait_until

SOON_S = 60.0
CHUNK = 12 * 640
CHUNKS = 5
WEIGHTLESS = "no/such/folder"


@pytest.fixture(scope="module")
def config(tiny_config: Config) -> Config:
    """Two ranks; 6 x 10 cells and 5 latent frames, which two do not divide evenly. Variants have three, and one."""
    small = {"stream.width": 80, "stream.height": 48, "stream.audio_context_s": 1.0, "stream.steps": 2}
    frames = {"stream.chunk_frames": 17, "stream.first_chunk_frames": 17}
    ranks = {"parallel.ranks": 2, "runtime.threads": 1, "serving.hang_s": 2.0}
    variants = {"three": {"parallel.ranks": 3}, "weightless": {"checkpoint.source": WEIGHTLESS}}
    config = changed(tiny_config, {**small, **frames, **ranks})
    return replace(config, serving=replace(config.serving, variants=variants))


@pytest.fixture(scope="module")
def house(config: Config) -> Iterator[Client]:
    with connect(config) as house:
        yield house


@pytest.fixture(scope="module")
def engine(config: Config) -> Iterator[Engine]:
    """One rank."""
    with Engine(changed(config, {"parallel.ranks": 1})) as engine:
        yield engine


@pytest.fixture(scope="module")
def alone(engine: Engine) -> np.ndarray:
    """Frames of one rank."""
    session = engine.open(picture_of(1), seed=3)
    return np.concatenate([c.frames_FHWC for c in (*session.feed(speech(CHUNKS * CHUNK)), *session.flush())])


@pytest.fixture(scope="module")
def peace(house: Client) -> np.ndarray:
    """Frames of two ranks that nothing happened to."""
    return film(house)


def film(house: Client) -> np.ndarray:
    with begun(house) as seat:
        return rest(seat)


def begun(house: Client) -> Stream:
    seat = house.open(picture_of(1), seed=3)
    seat.feed(speech(CHUNKS * CHUNK))
    seat.finish()
    return seat


def rest(seat: Stream) -> np.ndarray:
    return np.concatenate([chunk.frames_FHWC for chunk in iter(lambda: seat.next(SOON_S), None)])


def assert_alike(frames: np.ndarray, alone: np.ndarray) -> None:
    """As in tests/parallel/test_engine_ranks.py: bytes may differ where a number lies at the edge of two."""
    assert frames.shape == alone.shape
    assert np.abs(frames.astype(np.int16) - alone).max() <= 1
    assert (frames != alone).mean() < 1e-3


def test_a_house_of_two_ranks_makes_the_film_of_one(house: Client, peace: np.ndarray, alone: np.ndarray) -> None:
    assert alone.std() > 0
    assert_alike(peace, alone)
    assert house.info.ranks == len(house.status().processes) == 2


def test_a_variant_of_three_ranks_makes_the_film_of_one(house: Client, alone: np.ndarray) -> None:
    three = house.variant("three")
    assert_alike(film(three), alone)
    assert three.info.ranks == len(three.status().processes) == 3
    assert house.status().generation == 1


@pytest.mark.parametrize(
    ("rank", "blow", "limit_s"),
    [(0, signal.SIGKILL, 1.0), (1, signal.SIGKILL, 1.0), (1, signal.SIGSTOP, 5.0)],
    ids=["first-dies", "second-dies", "second-hangs"],
)
def test_whichever_rank_is_lost_all_are_replaced_and_the_film_is_the_same(
    house: Client, peace: np.ndarray, rank: int, blow: signal.Signals, limit_s: float
) -> None:
    with begun(house) as seat:
        chunk = seat.next(SOON_S)
        assert chunk is not None
        pids, generation = house.status().processes, house.status().generation
        os.kill(pids[rank], blow)
        struck_s = time.monotonic()
        wait_until(lambda: not house.status().ready)
        assert time.monotonic() - struck_s < limit_s
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 5.0)
        assert np.array_equal(np.concatenate((chunk.frames_FHWC, rest(seat))), peace)
    assert house.status().generation == generation + 1
    assert set(house.status().processes).isdisjoint(pids)


def test_an_interruption_is_the_same_on_two_ranks(house: Client, engine: Engine) -> None:
    said, answer = speech(3 * CHUNK, 1), speech(2 * CHUNK, 2)
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
        assert_alike(rest(seat), np.concatenate(wanted))


def test_a_stream_saved_by_two_ranks_goes_on_with_one(
    house: Client, engine: Engine, alone: np.ndarray, tmp_path: Path
) -> None:
    with begun(house) as seat:
        first = [seat.next(SOON_S) for _ in range(2)]
        seat.save(tmp_path / "stream")
    session = engine.restore(tmp_path / "stream")
    made = [*first, *(session.step() for _ in range(CHUNKS - 2))]
    assert_alike(np.concatenate([chunk.frames_FHWC for chunk in made if chunk]), alone)


def test_what_all_ranks_refuse_leaves_them_in_step(house: Client, peace: np.ndarray) -> None:
    """The prompt is read by the first rank only; the others are told."""
    generation = house.status().generation
    with pytest.raises(InputError) as error:
        house.open(picture_of(1), prompt="\ud800")
    assert error.value.code == "text_unicode"
    assert np.array_equal(film(house), peace)
    assert house.status().generation == generation


def test_why_no_group_could_be_built_is_told(house: Client, config: Config) -> None:
    with pytest.raises(CheckpointError, match=WEIGHTLESS):
        house.variant("weightless").open(picture_of(1))
    with pytest.raises(ConfigError, match="this process is alone"):
        connect(config, isolated=False)


def test_ranks_use_no_multicast_over_nvlink(house: Client) -> None:
    for pid in house.status().processes:
        environment = psutil.Process(pid).environ()
        assert environment["NCCL_NVLS_ENABLE"] == "0"
        assert environment["TORCH_SYMM_MEM_DISABLE_MULTICAST"] == "1"


def test_a_nursery_has_touched_neither_a_device_nor_a_group(house: Client) -> None:
    """What is forked after either can use neither."""
    nursery = psutil.Process(psutil.Process(house.status().processes[0]).ppid())
    opened = [str(link.readlink()) for link in Path(f"/proc/{nursery.pid}/fd").iterdir()]
    assert not [name for name in opened if name.startswith("/dev/nvidia")]
    assert nursery.net_connections("inet") == []


def test_a_process_that_was_killed_is_known_before_it_is_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not is_ending(process.pid)
        process.kill()
        wait_until(lambda: is_ending(process.pid), 1.0)
    assert is_ending(process.pid)


def test_each_group_meets_at_a_place_of_its_own_that_leaves_nothing() -> None:
    with meeting_place(2) as first, meeting_place(2) as second:
        paths = [Path(url.removeprefix("file://")) for url in (first, second)]
        paths[0].write_text("here")
        assert [path.read_text() for path in paths] == ["here", ""]
    assert not any(path.exists() for path in paths)
    with meeting_place(2) as third:
        assert Path(third.removeprefix("file://")).read_text() == ""
