"""One film: it stops at once, frees its seat, and is not kept in memory; lips, sound and marks of the comparison."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flashtalk.config import Config, StreamConfig
from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.errors import InputError, SessionClosed
from flashtalk.parallel.groups import Place
from flashtalk.types import VideoChunk
from flashtalk.ui import status
from flashtalk.ui.build import make_context
from flashtalk.ui.compare_page import _ROWS, Result, Variant
from flashtalk.ui.film import Film, InLine, Made, Order
from flashtalk.ui.films import FilmStore
from flashtalk.ui.making import Request, Studio
from flashtalk.ui.material import TRACK_RATE, Voice, _collect, materials_of
from flashtalk.ui.measures import FilmMeasures, Measurer, lips_with_sound, loudness
from flashtalk.ui.project import Wishes
from flashtalk.ui.texts import Texts
from tests.serving.fakes import FakeEngine
from tests.ui.live_house import PacedHouse
from tests.ui.page_kit import FACE
from tests.ui.page_kit import VOICE as SPEECH

RATE, FPS, SIDE = 16_000, 25, 64
COST_S, WAIT_S = 0.05, 1.5
PORTRAIT = np.full((SIDE, SIDE, 3), 90, np.uint8)
VOICE = Voice(np.zeros((TRACK_RATE * 4, 1), np.float32), np.zeros(RATE * 4, np.float32))


class Seat:
    """Gives `chunks` chunks, then nothing until it is closed."""

    def __init__(self, chunks: int) -> None:
        self.left, self.closed, self.watched = chunks, threading.Event(), False
        self.seated_s = time.monotonic()

    def __enter__(self) -> Seat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed.set()

    def feed(self, samples_S: np.ndarray) -> None:
        pass

    def finish(self) -> None:
        pass

    def next(self, timeout_s: float) -> VideoChunk:
        if not self.left:
            self.closed.wait(timeout_s)
            raise SessionClosed("closed")
        self.left -= 1
        return VideoChunk(0, 0, np.repeat(PORTRAIT[None], 28, 0), np.zeros(28 * 640, np.float32), RATE, FPS)


class House:
    """A client with one seat."""

    def __init__(self, seat: Seat) -> None:
        self.seat, self.info = seat, SimpleNamespace(fingerprint="fake-1")

    def stream(self, *, seed: int | None = None, **changes: Any) -> StreamConfig:
        return StreamConfig(width=SIDE, height=SIDE, **changes)

    def open(self, portrait: np.ndarray, *, realtime: bool, **_: object) -> Seat:
        self.seat.watched = realtime
        return self.seat


def ended(threads: int, within_s: float) -> bool:
    end_s = time.monotonic() + within_s
    while threading.active_count() > threads and time.monotonic() < end_s:
        time.sleep(0.01)
    return threading.active_count() <= threads


@pytest.mark.parametrize("chunks", [0, 1])
def test_a_film_that_is_stopped_frees_its_seat_at_once(chunks: int) -> None:
    """Even in the middle of a chunk that never comes."""
    seat, threads = Seat(chunks), threading.active_count()
    with Film(House(seat), Order(portrait_HWC=PORTRAIT, voice=VOICE)) as film:  # type: ignore[arg-type]
        made = next(event for event in film if isinstance(event, Made) or not chunks)
        assert (made is not None) == bool(chunks)
        began_s = time.monotonic()
    assert seat.closed.wait(5)
    assert time.monotonic() - began_s < 1.0
    assert ended(threads, 5)


@pytest.mark.parametrize("watched", [False, True])
def test_who_watches_comes_before_who_does_not(watched: bool) -> None:
    seat = Seat(1)
    with Film(House(seat), Order(portrait_HWC=PORTRAIT, voice=VOICE, watched=watched)) as film:  # type: ignore[arg-type]
        next(event for event in film if event)
    assert seat.watched is watched


class Starting(House):
    """Its engine is being replaced: who comes is told the first place at once, and again."""

    def open(self, portrait: np.ndarray, *, realtime: bool, **more: Any) -> Seat:
        more["on_place"](1)
        return super().open(portrait, realtime=realtime)

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(ready=False)


@pytest.mark.parametrize(("language", "said"), [("en", "The model starts again"), ("zh", "模型正在重启")])
def test_who_waits_for_an_engine_that_starts_again_is_told_of_no_line(language: str, said: str) -> None:
    with Film(Starting(Seat(1)), Order(portrait_HWC=PORTRAIT, voice=VOICE)) as film:  # type: ignore[arg-type]
        told = next(event for event in film if isinstance(event, InLine))
    assert said in status.waiting(Texts(status.TEXTS, {}), language, told)
    assert said not in status.waiting(Texts(status.TEXTS, {}), language, InLine(1))


class Slow(PacedHouse):
    """Each engine but the first takes WAIT_S to start."""

    def _build(self, config: Config, place: Place) -> FakeEngine:
        time.sleep(WAIT_S if self.engines else 0)
        return super()._build(config, place)


@pytest.fixture(scope="module")
def slow() -> Iterator[PacedHouse]:
    changes = {"stream.width": SIDE, "stream.height": SIDE, "serving.seats": 1, "serving.variants": {"other": {}}}
    with Slow(load_config("cpu", changes), lambda: COST_S) as house:
        yield house


@pytest.mark.parametrize("model", ["", "other"])
def test_neither_the_line_nor_the_start_of_an_engine_counts_as_making(slow: PacedHouse, model: str) -> None:
    """Who finds the one seat taken, or an engine that does not run, is told the speed of who did not."""
    with ExitStack() as taken:
        if not model:
            before = taken.enter_context(slow.open(PORTRAIT))
            threading.Timer(WAIT_S, before.close).start()
        began_s = time.monotonic()
        with Film(slow, Order(portrait_HWC=PORTRAIT, voice=VOICE, model=model)) as film:
            made = [event for event in film if isinstance(event, Made)]
        whole_s = time.monotonic() - began_s
    assert made[0].took_s <= made[0].at_s < made[0].took_s + WAIT_S / 2
    assert COST_S * len(made) < made[-1].at_s < whole_s - 0.9 * WAIT_S


def syllables(frames: int, seed: int = 0) -> np.ndarray:
    """How open a mouth is, 0 to 1: a syllable takes about five frames."""
    return np.repeat(np.random.default_rng(seed).random(frames // 4 + 1), 4)[:frames]


def spoken(open_F: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).choice([-1.0, 1.0], len(open_F) * 640)
    return (np.repeat(open_F**2, 640) * noise).astype(np.float32)


def talking(open_F: np.ndarray) -> np.ndarray:
    """Frames of a plain face that nods, its mouth as open as told, above a dark collar."""
    frames = np.repeat(np.random.default_rng(2).integers(80, 120, (1, 128, 128, 3)).astype(np.uint8), len(open_F), 0)
    for index, share in enumerate(open_F):
        frames[index, 86 : 86 + int(10 * share), 50:78] = 20
        frames[index, 100:] = 10
        frames[index] = np.roll(frames[index], round(14 * np.sin(index / 3)), axis=0)
    return frames


@pytest.mark.parametrize("late", [-2, 0, 3])
def test_a_mouth_that_follows_the_sound_is_seen_to(late: int) -> None:
    open_F = syllables(150)
    frames = talking(np.roll(open_F, late))
    measurer = Measurer(frames[0], FPS)
    for start in range(0, len(frames), 28):
        measurer.add(frames[start : start + 28])
    found = measurer.measures(spoken(open_F), RATE)
    assert found.sync is not None
    assert found.sync > 0.6
    assert found.lag_ms == 40 * late
    assert found.drift_sharpness == pytest.approx(1, abs=0.1)


def test_chance_is_called_chance() -> None:
    """Another sound than the one that the mouth follows has no lag, nearly always."""
    sounds = [
        lips_with_sound(syllables(150, seed), loudness(spoken(syllables(150, seed + 100)), 640)) for seed in range(40)
    ]
    assert sum(lag is not None for _, lag in sounds) <= 6
    assert lips_with_sound(syllables(40), syllables(40)) == (None, None)


def result(letter: str, **changes: Any) -> Result:
    figures = {"sharpness": 0.9, "drift_sharpness": 0.9, "drift_colour": 1.0, "sync": 0.5, "lag_ms": 40.0}
    measures = FilmMeasures(**{**figures, **{name: changes[name] for name in changes if name in figures}})
    return Result(Variant(letter, "", 2, 0, 0.0), "", changes.get("fps", 50.0), changes.get("first", 0.9), measures)


@pytest.mark.parametrize(
    ("key", "name", "worse", "equal", "better"),
    [
        ("fps", "fps", 40.0, 50.5, 55.0),
        ("first", "first", 1.2, 0.92, 0.5),
        ("sync", "sync", 0.3, 0.52, 0.7),
        ("lag", "lag_ms", 160.0, 60.0, 0.0),
        ("sharpness", "sharpness", 1.3, 0.91, 1.02),
        ("drift", "drift_sharpness", 1.2, 0.91, 0.97),
        ("colour_drift", "drift_colour", 3.0, 1.2, 0.1),
    ],
)
def test_the_better_figure_is_marked(key: str, name: str, worse: float, equal: float, better: float) -> None:
    row = next(row for row in _ROWS if row.key == f"compare.{key}")
    base = result("A")
    assert row.marked([base, result("B", **{name: worse})]) == [True, False]
    assert row.marked([base, result("B", **{name: equal})]) == [False, False]
    assert row.marked([base, result("B", **{name: better})]) == [False, True]


def test_chance_is_never_better() -> None:
    row = next(row for row in _ROWS if row.key == "compare.sync")
    assert row.marked([result("A"), result("B", sync=0.9, lag_ms=None)]) == [False, False]


@pytest.mark.parametrize(("cost_s", "is_seen"), [(0.02, True), (1.5, False)])
def test_who_stops_a_film_is_told_whether_there_is_something_to_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost_s: float, is_seen: bool
) -> None:
    """One so slow that the player waits for the next chunks has nothing of it yet."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    changes = {"stream.width": SIDE, "stream.height": SIDE}
    with PacedHouse(load_config("cpu", changes), lambda: cost_s) as client:
        context = make_context(client, UiConfig(folder=str(tmp_path / "app")))
        studio = Studio(context, materials_of(context), FilmStore(context))
        assert studio.stop("somebody") is None
        wished = Request(portrait=str(FACE), voice=str(SPEECH), wishes=Wishes(), visitor="somebody")
        updates = studio.watch(wished)
        next(updates)
        next(update for update in updates if "data-made-s" in update[1])
        assert studio.stop("somebody") is is_seen
        assert studio.stop("somebody") is None
        updates.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("samples", [0, 1])
def test_a_sound_too_short_for_a_sample_of_the_models_is_empty(samples: int) -> None:
    """A film of no frame has no end that could be told."""
    with pytest.raises(InputError) as refused:
        _collect(iter([np.zeros((1, 1), np.float32)] * samples), 60.0)
    assert refused.value.code == "audio_empty"
