"""Sounds that move no lips: music, noises, a crowd, silence. Called by the corpus and by clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import fftconvolve, lfilter

from train.synthetic.phonemes import SAMPLE_RATE, Samples, Utterance

Maker = Callable[[np.random.Generator, int], np.ndarray]


def draw_negative(seed: int, split: str, seconds: float, voices: Sequence[Utterance] = ()) -> Utterance:
    """`seconds` of one kind of sound by seed: source "negative", no phonemes, no language; peak 0.1 to 0.9 or silence.

    With `voices` (a few utterances of the split) a crowd of far voices is among the kinds.
    """
    rng = np.random.default_rng(seed)
    kinds = sorted(_MAKERS) + (["crowd"] if voices else [])
    kind = str(rng.choice(kinds))
    length = max(1, round(seconds * SAMPLE_RATE))
    sound = crowd(rng, length, voices) if kind == "crowd" else _MAKERS[kind](rng, length)
    peak = float(np.abs(sound).max())
    samples: Samples = (sound / peak * rng.uniform(0.1, 0.9) if peak > 0 else sound).astype(np.float32)
    return Utterance(samples, (), "", "", f"negative:{kind}", split, "negative")


def crowd(rng: np.random.Generator, length: int, voices: Sequence[Utterance]) -> np.ndarray:
    """Eight or more far voices at once, in a hall that smears them."""
    sound = np.zeros(length + SAMPLE_RATE)
    for _ in range(int(rng.integers(8, 16))):
        voice = voices[int(rng.integers(len(voices)))].samples
        voice = np.resize(voice, len(sound)) * rng.uniform(0.3, 1.0)
        sound += np.roll(voice, int(rng.integers(len(sound))))
    hall = rng.standard_normal(SAMPLE_RATE // 2) * np.exp(-np.arange(SAMPLE_RATE // 2) / (0.12 * SAMPLE_RATE))
    return fftconvolve(sound, hall)[SAMPLE_RATE // 2 :][:length]


def _silence(_: np.random.Generator, length: int) -> np.ndarray:
    return np.zeros(length)


def _noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Noise whose amplitude falls by 0 (white), 1/2 (pink) to 1 (brown) powers of the frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 20.0)
    return np.fft.irfft(spectrum * hz ** -rng.uniform(0.0, 1.0), length)


def _hum(rng: np.random.Generator, length: int) -> np.ndarray:
    """Mains hum and a fan."""
    time = np.arange(length) / SAMPLE_RATE
    mains = float(rng.choice([50.0, 60.0, 120.0]))
    tones = [rng.uniform() / order * np.sin(2 * np.pi * mains * order * time) for order in range(1, 12)]
    return np.sum(tones, axis=0) + rng.uniform(0, 4) * _normal(_noise(rng, length))


def _wind(rng: np.random.Generator, length: int) -> np.ndarray:
    """Low noise in slow gusts."""
    gusts = _slow(rng, length, 0.7)
    return lfilter([1.0], [1.0, -0.97], rng.standard_normal(length)) * (0.2 + gusts**2)


def _clatter(rng: np.random.Generator, length: int) -> np.ndarray:
    """Knocks, clicks and dishes: short resonances at random times."""
    sound = np.zeros(length)
    for _ in range(int(rng.integers(2, 12) * length / SAMPLE_RATE) + 1):
        time = np.arange(int(rng.uniform(0.01, 0.25) * SAMPLE_RATE)) / SAMPLE_RATE
        ring = np.sin(2 * np.pi * rng.uniform(150, 5000) * time) + 0.5 * rng.standard_normal(len(time))
        _add(sound, int(rng.integers(length)), ring * np.exp(-time * rng.uniform(20, 200)) * rng.uniform(0.2, 1))
    return sound


def _music(rng: np.random.Generator, length: int) -> np.ndarray:
    """Chords, a melody and drums, each at times left out."""
    beat = int(SAMPLE_RATE * 60 / rng.uniform(70, 150))
    root = rng.uniform(45, 60)
    sound = np.zeros(length)
    layers = rng.uniform(size=3) < (0.8, 0.7, 0.6)
    for step, at in enumerate(range(0, length, beat)):
        degree = (0, 5, 7, 0, 9, 5, 7, 7)[step // 4 % 8]
        if layers[0] and step % 4 == 0:
            for interval in (0, 4 if degree != 9 else 3, 7):
                _add(sound, at, 0.4 * _note(rng, root + degree + interval, beat * 4, harmonics=6))
        if layers[1] or not layers.any():
            pitch = root + 12 + degree + int(rng.choice([0, 2, 4, 7, 9, 12]))
            _add(sound, at + int(rng.choice([0, beat // 2])), 0.6 * _note(rng, pitch, beat, harmonics=10))
        if layers[2]:
            _add(sound, at, _drum(rng, low=step % 2 == 0))
    return sound


def _chords(rng: np.random.Generator, length: int) -> np.ndarray:
    """Struck chords that ring off, as of a piano, an organ or a guitar; no melody, no drums."""
    beat = int(SAMPLE_RATE * rng.uniform(0.3, 1.2))
    ring, harmonics, falloff = rng.uniform(0.3, 5), int(rng.integers(2, 9)), rng.uniform(0.7, 2)
    roots = rng.uniform(43, 62) + rng.choice([0, 2, 4, 5, 7, 9], 4)
    sound = np.zeros(length)
    for step, at in enumerate(range(0, length, beat)):
        for interval in (0, int(rng.choice([3, 4])), 7, 12)[: int(rng.integers(2, 5))]:
            hz = _hz(roots[step // 4 % 4] + interval)
            time = np.arange(min(2 * beat, length - at)) / SAMPLE_RATE
            phases = np.arange(1, harmonics + 1)[:, None] * (2 * np.pi * hz * time) + rng.uniform(0, 2 * np.pi)
            strength = np.exp(-ring * time) * np.minimum(1, time / 0.004)
            _add(sound, at, strength * (np.sin(phases) / np.arange(1, harmonics + 1)[:, None] ** falloff).sum(0))
    return sound


def _pad(rng: np.random.Generator, length: int) -> np.ndarray:
    """Strings and synthesisers: held tones with vibrato and tremolo that swell and fade."""
    time, sound = np.arange(length) / SAMPLE_RATE, np.zeros(length)
    for _ in range(int(rng.integers(1, 5))):
        hz = _hz(rng.uniform(40, 84))
        wobble = rng.uniform(0, 0.006) * np.sin(2 * np.pi * rng.uniform(3, 7) * time) / rng.uniform(3, 7)
        turns = 2 * np.pi * hz * (time + wobble)
        tone = sum(np.sin(order * turns) / order ** rng.uniform(0.8, 2) for order in range(1, int(rng.integers(3, 12))))
        tremolo = 1 + rng.uniform(0, 0.8) * np.sin(2 * np.pi * rng.uniform(1, 8) * time)
        sound += tone * tremolo * _slow(rng, length, rng.uniform(0.2, 1.5))
    return sound


def _note(rng: np.random.Generator, key: float, length: int, harmonics: int) -> np.ndarray:
    """A plucked or bowed tone of MIDI `key`."""
    time = np.arange(length) / SAMPLE_RATE
    hz = _hz(key)
    falloff = rng.uniform(0.7, 2)
    tone = sum(np.sin(2 * np.pi * hz * order * time) / order**falloff for order in range(1, harmonics + 1))
    attack = np.minimum(1, time / rng.uniform(0.005, 0.08))
    return tone * attack * np.exp(-time * rng.uniform(0.5, 6)) * np.minimum(1, (time[-1] - time) / 0.02)


def _hz(key: float) -> float:
    """Pitch of a MIDI key: 69 is 440 Hz."""
    return 440 * 2 ** ((key - 69) / 12)


def _drum(rng: np.random.Generator, *, low: bool) -> np.ndarray:
    time = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE
    if low:
        return np.sin(2 * np.pi * 60 * (time + 0.03 * (1 - np.exp(-time * 40)))) * np.exp(-time * 18)
    return rng.standard_normal(len(time)) * np.exp(-time * 30) * 0.5


def _add(sound: np.ndarray, at: int, part: np.ndarray) -> None:
    """Add `part` in place from sample `at`, as far as it fits."""
    fits = max(0, min(len(part), len(sound) - at))
    sound[at : at + fits] += part[:fits]


def _slow(rng: np.random.Generator, length: int, hz: float) -> np.ndarray:
    """A random curve in 0..1 that turns about `hz` times a second."""
    points = max(4, int(length / SAMPLE_RATE * hz) + 3)
    return np.interp(np.linspace(0, points - 1, length), np.arange(points), rng.uniform(size=points))


def _normal(sound: np.ndarray) -> np.ndarray:
    return sound / max(1e-9, float(np.sqrt(np.mean(sound**2))))


_MAKERS: dict[str, Maker] = {
    "silence": _silence,
    "noise": _noise,
    "hum": _hum,
    "wind": _wind,
    "clatter": _clatter,
    "music": _music,
    "music chords": _chords,
    "music pad": _pad,
}
"""Much music: it is what is met most beside speech, and what is nearest to it."""
