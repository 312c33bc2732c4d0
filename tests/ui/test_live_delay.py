"""Laws of the live delay, exact on any machine: what a chunk needs, what the engine takes, and at most 0.4 s more."""

from __future__ import annotations

import numpy as np
import pytest

from flashtalk.media.audio import read_audio_all
from tests.source import ROOT
from tests.ui.live_twin import RATE, Cost, Played, converse

CHUNK_S = 1.12
OVERHEAD_S = 0.4
HELD_UP = 8
"""The chunk at which engine or network stop for two seconds."""


def speech(seconds: float) -> np.ndarray:
    """People who never pause."""
    words_S = read_audio_all(ROOT / "assets/speech/english-human-busy.wav", RATE)
    return np.tile(words_S, int(seconds * RATE / len(words_S)) + 1)[: round(seconds * RATE)]


def turns(seconds: float) -> np.ndarray:
    """2.4 s of speech and 1.6 s of silence."""
    speech_S = speech(seconds)
    speech_S[(np.arange(len(speech_S)) / RATE) % 4.0 > 2.4] = 0
    return speech_S


def worst(played: Played, from_s: float, to_s: float) -> float:
    delays = played.delays()
    return float(delays[(delays[:, 0] >= from_s) & (delays[:, 0] < to_s), 1].max())


@pytest.mark.parametrize("compute_s", [0.05, 0.25, 0.6, 0.9])
def test_mouth_to_picture_is_a_chunk_its_making_and_a_little(compute_s: float) -> None:
    played = converse(turns(16), lambda chunk: compute_s if chunk else 0.6 * compute_s)
    assert played.trace[played.trace[:, 2] > 0][0, 0] < 0.6 * compute_s + 0.15, "the first sound"
    assert worst(played, 2, 16) < CHUNK_S + compute_s + OVERHEAD_S / 2  # the rest is for devices and the network
    assert played.words_lost_s == 0
    assert played.underruns <= 1  # the first chunk is made sooner than those that follow it


def test_an_engine_of_uneven_speed_costs_what_its_slow_chunks_cost_and_soon_no_gaps() -> None:
    uneven = np.random.default_rng(0).uniform(0.2, 0.5, 100)
    played = converse(turns(40), lambda chunk: float(uneven[chunk]))
    assert worst(played, 4, 40) < CHUNK_S + 0.5 + OVERHEAD_S
    assert played.underruns <= 5
    assert played.words_lost_s == 0


@pytest.mark.parametrize(("every", "late_s"), [(12, 0.13), (6, 0.15)])
def test_what_is_late_now_and_then_is_reckoned_with(every: int, late_s: float) -> None:
    """A machine that has other work too: a gap the first time, not each time."""
    played = converse(turns(80), lambda chunk: 0.7 + late_s * (chunk % every == every // 2))
    assert played.underruns <= 80 / CHUNK_S / every / 2
    assert worst(played, 8, 80) < CHUNK_S + 0.7 + late_s + OVERHEAD_S / 2


@pytest.mark.parametrize(("said", "chunks"), [(turns, 7), (speech, 11)], ids=["pauses", "no pauses"])
@pytest.mark.parametrize("where", ["engine", "network"])
def test_after_two_lost_seconds_the_delay_shrinks_back_and_no_word_is_lost(where: str, said: Cost, chunks: int) -> None:
    held_up: Cost = lambda chunk: 2.0 if chunk == HELD_UP else 0.0  # noqa: E731
    in_engine = where == "engine"
    played = converse(
        said(32),
        lambda chunk: 0.25 + (held_up(chunk) if in_engine else 0),
        on_the_way=lambda chunk: 0.02 + (0 if in_engine else held_up(chunk)),
    )
    back_s = played.chunks[HELD_UP]["at"] + chunks * CHUNK_S
    assert worst(played, 0, back_s) > 2.5, "nothing was held up"
    assert worst(played, back_s, 32) < CHUNK_S + 0.25 + OVERHEAD_S
    assert played.words_lost_s == 0


@pytest.mark.parametrize("compute_s", [1.3, 2.5])
def test_an_engine_too_slow_for_speech_leaves_out_old_words_and_is_no_later_for_it(compute_s: float) -> None:
    played = converse(speech(40), lambda _chunk: compute_s)
    assert worst(played, 16, 40) < CHUNK_S + compute_s + OVERHEAD_S
    assert played.words_lost_s == pytest.approx(40 * (1 - CHUNK_S / compute_s), abs=2.5)


def test_a_slow_first_picture_is_not_waited_for_ever_after() -> None:
    played = converse(turns(24), lambda chunk: 0.25 if chunk else 3.4)
    assert worst(played, 12, 24) < CHUNK_S + 0.25 + OVERHEAD_S


@pytest.mark.parametrize("tones_hz", [(150,), (150, 233, 377)])
def test_catching_up_keeps_the_voice_as_it_is(tones_hz: tuple[int, ...]) -> None:
    """A hum has a period to leave out; three tones without a common one show that the ends are blended."""
    waves = [np.sin(np.arange(24 * RATE) * 2 * np.pi * tone_hz / RATE) for tone_hz in tones_hz]
    hum_S = (0.3 / len(waves) * np.sum(waves, axis=0)).astype(np.float32)
    played = converse(hum_S, lambda chunk: 2.25 if chunk == HELD_UP else 0.25)
    from_s = played.chunks[HELD_UP + 3]["at"]
    assert worst(played, from_s + 3, 24) < worst(played, from_s, 24) - 0.4, "nothing was made up for"
    before_S, while_S = played.heard_S[5 * 48000 : 8 * 48000], played.heard_S[int(from_s * 48000) :][: 3 * 48000]
    assert np.abs(np.diff(while_S)).max() < 1.1 * np.abs(np.diff(before_S)).max(), "it clicks"
    power = np.abs(np.fft.rfft(while_S * np.hanning(len(while_S)))) ** 2
    pitch_hz = np.fft.rfftfreq(len(while_S), 1 / 48000)
    kept = np.min([np.abs(pitch_hz - tone_hz) for tone_hz in tones_hz], axis=0) < 30
    assert power[kept].sum() > (0.999 if len(tones_hz) == 1 else 0.9) * power.sum()
