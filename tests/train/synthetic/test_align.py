import ctypes.util
from dataclasses import replace

import numpy as np
import pytest

from train.synthetic.align import align, speech_bounds, warp
from train.synthetic.espeak import SpeechMaker
from train.synthetic.phonemes import SAMPLE_RATE, Utterance
from train.synthetic.prompts import LEAST_CONFIDENCE, SPEAKERS, prompt
from train.synthetic.voices import EspeakVoice

TEXT = "The quick brown fox jumps over the lazy dog, and every visitor measured the treasure."
OTHER = "How many roads are there in Vienna? I could not tell you, my dear friend."
needs_espeak = pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is not installed")


def stretched(said: Utterance, factor: float) -> tuple[np.ndarray, list[float]]:
    """The sound `factor` times as long (pitch kept) after 0.3 s of silence, and its phonemes' starts."""
    hop, width = 160, 640
    window = np.hanning(width)
    count = int(len(said.samples) * factor / hop) - width // hop
    out = np.zeros(count * hop + width)
    total = np.zeros_like(out) + 1e-6
    padded = np.pad(said.samples, (0, width))
    for place in range(count):
        start = int(place * hop / factor)
        out[place * hop : place * hop + width] += padded[start : start + width] * window
        total[place * hop : place * hop + width] += window
    lead = np.zeros(int(0.3 * SAMPLE_RATE))
    starts = [phoneme.start_s * factor + 0.3 for phoneme in said.phonemes]
    return np.concatenate([lead, out / total, lead]).astype(np.float32), starts


@needs_espeak
@pytest.mark.parametrize("factor", [0.75, 1.35])
def test_known_times_come_back_from_a_stretched_utterance(factor: float) -> None:
    said = SpeechMaker().speak(TEXT, EspeakVoice("en-us", "m3", 160))
    recording, starts = stretched(said, factor)
    found = align(recording, said)
    assert len(found.phonemes) == len(starts)
    errors = np.abs([phoneme.start_s - start for phoneme, start in zip(found.phonemes, starts, strict=True)])
    assert errors.mean() < 0.02
    assert np.percentile(errors, 95) < 0.04


@needs_espeak
def test_another_voice_of_the_same_words_is_aligned_and_other_words_are_not_trusted() -> None:
    maker = SpeechMaker()
    recording = maker.speak(TEXT, EspeakVoice("en-us", "f2", 180))
    same = align(recording.samples, maker.speak(TEXT, EspeakVoice("en-us", "m3", 140)))
    errors = [abs(a.start_s - b.start_s) for a, b in zip(same.phonemes, recording.phonemes, strict=True)]
    assert np.mean(errors) < 0.02
    assert same.confidence > 2 * LEAST_CONFIDENCE
    assert prompt(maker, SPEAKERS[0], recording.samples, TEXT)[0] is not None
    assert prompt(maker, SPEAKERS[0], recording.samples, OTHER)[0] is None


def test_the_warp_of_a_sound_onto_itself_is_the_diagonal() -> None:
    features = np.random.default_rng(0).standard_normal((60, 26))
    here, there, cost = warp(features, features)
    assert np.array_equal(here, there)
    assert cost < 1e-6
    here, there, _ = warp(features, np.repeat(features, 2, axis=0))
    assert np.abs(there // 2 - here).max() <= 1


def test_speech_bounds_find_the_sound() -> None:
    samples = np.zeros(32000, np.float32)
    samples[8000:20000] = 0.3 * np.random.default_rng(0).standard_normal(12000)
    first_s, last_s = speech_bounds(samples)
    assert first_s == pytest.approx(0.5, abs=0.02)
    assert last_s == pytest.approx(1.25, abs=0.02)


@needs_espeak
def test_silence_around_the_recording_moves_the_times_and_nothing_else() -> None:
    said = SpeechMaker().speak(TEXT, EspeakVoice("en-us", "f2"))
    later = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), said.samples, np.zeros(4000, np.float32)])
    found = align(later, replace(said, voice="other"))
    assert np.abs([a.start_s - b.start_s - 1 for a, b in zip(found.phonemes, said.phonemes, strict=True)]).max() < 0.03
