"""Laws of recorded speech: names of sounds, speed, and where each may be heard."""

from __future__ import annotations

import numpy as np
import pytest

from train.synthetic.phonemes import SAMPLE_RATE, SYMBOLS, Phoneme, Utterance
from train.synthetic.segment_names import _NAMES, symbol_of
from train.synthetic.sources import MixedSpeech, at_speed


def tone(split: str) -> Utterance:
    """One second of 400 Hz with a phoneme from 0.25 to 0.5 s."""
    samples = np.sin(2 * np.pi * 400 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    return Utterance(samples, (Phoneme("AA", 0.25, 0.5, 1),), "ah", "en", f"one:{split}", split, "festival")


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25])
def test_speed_moves_pitch_and_times_together(speed: float) -> None:
    played = at_speed(tone("train"), speed)
    assert len(played.samples) == pytest.approx(SAMPLE_RATE / speed, abs=2)
    spectrum = np.abs(np.fft.rfft(played.samples * np.hanning(len(played.samples))))
    assert spectrum.argmax() * SAMPLE_RATE / len(played.samples) == pytest.approx(400 * speed, abs=2)
    (phoneme,) = played.phonemes
    assert (phoneme.start_s, phoneme.end_s) == pytest.approx((0.25 / speed, 0.5 / speed))


def test_only_training_hears_other_speeds() -> None:
    mixed = MixedSpeech(None, [tone("train"), tone("test")], share=1.0, speed=(1.2, 1.2))  # type: ignore[arg-type]
    assert len(mixed.speak(1, "test", 0.5)[0].samples) == SAMPLE_RATE
    assert len(mixed.speak(1, "train", 0.5)[0].samples) == pytest.approx(SAMPLE_RATE / 1.2, rel=0.01)


def test_names_of_sounds_become_symbols() -> None:
    assert all(symbol in SYMBOLS for names in _NAMES.values() for symbol in names.values())
    told = [
        ("r~", "cs"),
        ("ch", "cs"),
        ("ch", "ru"),
        ("ll", "ru"),
        ("t:", "fi"),
        ("ax", "ca"),
        ("aa", "en-us"),
        ("dx", "en-us"),
        ("tt", "it"),
    ]
    assert [symbol_of(*one) for one in told] == ["RR", "X", "CH", "L", "T", "AX", "AA", "D", "T"]
    assert [symbol_of(*one) for one in (("pau", "en-us"), ("#", "cs"), ("what", "it"), ("sq", "cs"))] == [""] * 4
