"""The engine as its users meet it: build, open, feed, flush, save, restore, close."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk import Config, ConfigError, EngineError, InputError, SessionClosed
from flashtalk.config_file import replace
from flashtalk.engine.engine import Engine
from flashtalk.models.dit import DiT
from flashtalk.pipeline.session import Session
from tests.pipeline.conftest import picture_of, speech

CHUNK = 28 * 640


@pytest.fixture(scope="module")
def engine(tiny_config: Config) -> Iterator[Engine]:
    with Engine(replace(tiny_config, {"stream.audio_context_s": 2.0, "stream.steps": 2})) as engine:
        yield engine


def frames(session: object, sound: np.ndarray) -> np.ndarray:
    assert isinstance(session, Session)
    return np.concatenate([chunk.frames_FHWC for chunk in (*session.feed(sound), *session.flush())])


def test_a_file_and_an_array_are_the_same_portrait(engine: Engine, tmp_path: Path) -> None:
    Image.fromarray(picture_of(1)).save(tmp_path / "me.png")
    sound = speech(CHUNK)
    from_file, from_array = (frames(engine.open(p, seed=3), sound) for p in (tmp_path / "me.png", picture_of(1)))
    assert np.array_equal(from_file, from_array)


def test_any_size_of_picture_is_fitted(engine: Engine) -> None:
    wide = np.asarray(Image.fromarray(picture_of(1)).resize((211, 97)))
    chunk = next(engine.open(wide, prompt="hello").feed(speech(CHUNK)))
    assert chunk.frames_FHWC.shape == (28, 64, 64, 3)


def test_a_session_may_have_its_own_size_and_steps(engine: Engine) -> None:
    chunk = next(engine.open(picture_of(1), width=96, height=48, steps=4).feed(speech(CHUNK)))
    assert chunk.frames_FHWC.shape == (28, 48, 96, 3)


def test_a_prepared_portrait_is_shared(engine: Engine) -> None:
    portrait, sound = engine.portrait(picture_of(2)), speech(CHUNK)
    assert np.array_equal(*(frames(engine.open(p, seed=1), sound) for p in (portrait, picture_of(2))))


def test_sessions_in_threads_are_each_alone(engine: Engine) -> None:
    sounds = [speech(CHUNK, seed) for seed in range(3)]
    alone = [frames(engine.open(picture_of(0), seed=i), sound) for i, sound in enumerate(sounds)]
    together: dict[int, np.ndarray] = {}

    def run(index: int) -> None:
        together[index] = frames(engine.open(picture_of(0), seed=index), sounds[index])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(together[i], alone[i]) for i in range(3))


def test_saved_sessions_go_on(engine: Engine, tmp_path: Path) -> None:
    sound = speech(2 * CHUNK)
    whole = frames(engine.open(picture_of(0)), sound)
    session = engine.open(picture_of(0))
    first = next(session.feed(sound[:CHUNK])).frames_FHWC
    session.save(tmp_path / "state")
    assert np.array_equal(whole, np.concatenate((first, frames(engine.restore(tmp_path / "state"), sound[CHUNK:]))))


def test_what_runs_is_told(engine: Engine) -> None:
    info = engine.info
    assert (info.model, info.trained, info.device, info.dtype, info.attention) == (
        *("tiny", False, "cpu", "float32"),
        "sdpa",
    )
    assert info.parameters > 10_000
    for words in (f"{torch.get_num_threads()} threads", f"torch {torch.__version__}", "ranks: 1"):
        assert words in info.machine


@pytest.mark.parametrize("way", ["open", "restore", "set_prompt", "set_portrait"])
def test_a_full_device_is_told_in_words(engine: Engine, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    session, portrait = engine.open(picture_of(0)), engine.portrait(picture_of(1))
    saved = session.snapshot()

    def no_room(*_rows: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(DiT, "embed_context", no_room)
    ways = {
        "open": lambda: engine.open(portrait),
        "restore": lambda: engine.restore(saved),
        "set_prompt": lambda: session.set_prompt("hello"),
        "set_portrait": lambda: session.set_portrait(portrait),
    }
    with pytest.raises(EngineError, match="smaller picture") as caught:
        ways[way]()
    assert caught.value.code == "out_of_memory"


@pytest.mark.parametrize("changes", [{"runtime.threads": 3}, {"runtime.fused_codec": True}])
def test_what_rounds_otherwise_is_told_to_be_another_machine(engine: Engine, changes: dict[str, object]) -> None:
    """As with other threads: a film of the small model has other bytes with each count of them."""
    machine, threads = engine.info.machine, torch.get_num_threads()
    try:
        with Engine(replace(engine.config, changes)) as other:
            assert (other.info.fingerprint, other.info.machine == machine) == (engine.info.fingerprint, False)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"stepz": 4}, InputError, "stepz"),
        ({"steps": 3}, ConfigError, "distilled"),
        ({"width": 65}, ConfigError, "nearest is 64x64"),
        ({"first_chunk_frames": 18}, ConfigError, "multiple of 4"),
        ({"colour_strength": 2.0}, ConfigError, r"0\.\.1"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    engine: Engine, changes: dict[str, object], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        engine.open(picture_of(0), **changes)  # type: ignore[arg-type]


def test_a_closed_engine_closes_its_sessions(tiny_config: Config) -> None:
    with Engine(tiny_config) as engine:
        session = engine.open(picture_of(0))
    with pytest.raises(SessionClosed):
        session.feed(speech(10))
    with pytest.raises(EngineError, match="make a new one"):
        engine.open(picture_of(0))
    engine.close()
