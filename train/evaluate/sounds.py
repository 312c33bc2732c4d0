"""What is heard in an evaluation: unseen voices, human ones, silence, noise and music. Called by evaluate/scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashtalk.errors import InputError
from flashtalk.ops.seeds import mixed_seed
from train.config import SpeechConfig
from train.synthetic.clips import Speech, join
from train.synthetic.corpus import read
from train.synthetic.negatives import draw_negative
from train.synthetic.phonemes import SAMPLE_RATE, Utterance
from train.synthetic.sources import open_speech

PAUSE_S = (0.5, 1.2)
QUIET = ("silence", "microphone", "room", "music", "noise 0", "noise 1", "noise 2")
"""Sounds in which nobody speaks; the last three are of any kind that training draws."""
HUMAN = "human"
MICROPHONE_DB, ROOM_DB, MUSIC_DB = -60.0, -35.0, -20.0
CHORDS_HZ = ((220.0, 277.2, 329.6), (174.6, 220.0, 261.6), (261.6, 329.6, 392.0), (196.0, 246.9, 293.7))
BEAT_S = 0.5


class CorpusSpeech:
    """Recorded voices alone, for machines without espeak-ng; made voices come before human ones. See clips.Speech."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._spoken = [one for one in utterances if one.phonemes]

    def speak(self, seed: int, split: str, seconds: float) -> Sequence[Utterance]:
        """Utterances of one voice in a drawn order, as many as fill the time. Raises InputError if there is none."""
        own = [one for one in self._spoken if one.split == split]
        voices = by_voice([one for one in own if one.source != HUMAN] or own)
        if not voices:
            raise InputError(f"the corpus holds no voice of the split {split!r} with phonemes", code="no_speech")
        rng = np.random.default_rng(seed)
        known = voices[int(rng.integers(len(voices)))]
        spoken: list[Utterance] = []
        while sum(one.duration_s for one in spoken) < seconds:
            spoken.append(known[int(rng.integers(len(known)))])
        return spoken

    def noise(self, seed: int, split: str, seconds: float) -> Utterance:
        """Music, noise, or a crowd of the split's voices."""
        crowd = [one for one in self._spoken if one.split == split]
        return draw_negative(seed, split, seconds, crowd)


def by_voice(utterances: Iterable[Utterance]) -> list[list[Utterance]]:
    """The same, one list for each voice, in the order of first hearing."""
    voices: dict[str, list[Utterance]] = {}
    for one in utterances:
        voices.setdefault(one.voice, []).append(one)
    return list(voices.values())


@dataclass(frozen=True)
class Sounds:
    """Where sound comes from: `speech` makes it, `humans` are recordings of one split, voice by voice."""

    speech: Speech
    split: str
    seed: int
    humans: Sequence[Sequence[Utterance]] = ()

    def words(self, index: int, seconds: float) -> Utterance:
        """The speech of film `index`: a voice of its own, exactly so long."""
        seed = mixed_seed(self.seed, "words", index)
        return joined(self.speech.speak(seed, self.split, seconds), seconds, seed)

    def human(self, index: int, seconds: float) -> Utterance | None:
        """What a person says in film `index`; None if there are no recordings."""
        if not self.humans:
            return None
        return joined(self.humans[index % len(self.humans)], seconds, mixed_seed(self.seed, "human", index))

    def quiet(self, index: int, kind: str, seconds: float) -> Utterance:
        """One of QUIET in film `index`; a drawn noise's voice tells what it is."""
        seed, count = mixed_seed(self.seed, "quiet", index), round(seconds * SAMPLE_RATE)
        name, _, number = kind.partition(" ")
        if number:
            return self.speech.noise(mixed_seed(seed, int(number)), self.split, seconds)
        return Utterance(silences(count, seed)[name], (), "", "", name, self.split, "negative")


def open_sounds(config: SpeechConfig, split: str, seed: int) -> Sounds:
    """Speech of a corpus folder, people's recordings among it, or of espeak-ng. Raises ConfigError, InputError."""
    if config.corpus is None:
        return Sounds(open_speech(config), split, seed)
    utterances = list(read(Path(config.corpus)).kept(lambda own, _source, _language: own == split))
    humans = by_voice(one for one in utterances if one.source == HUMAN)
    both = config.espeak_library is not None
    return Sounds(open_speech(config) if both else CorpusSpeech(utterances), split, seed, humans)


def joined(utterances: Sequence[Utterance], seconds: float, seed: int) -> Utterance:
    """Utterances of one voice one after the other, with pauses, again from the first if they are too short.

    Exactly `seconds` long. Raises InputError if there is nothing to join.
    """
    lengths = [len(one.samples) for one in utterances]
    if not sum(lengths):
        raise InputError("there is no sound to join: none of this kind and split was given", code="no_speech")
    rng, length = np.random.default_rng(seed), round(seconds * SAMPLE_RATE)
    rounds = -(-length // sum(lengths))
    parts = list(utterances) * rounds
    return join(parts, [0.0, *rng.uniform(*PAUSE_S, len(parts) - 1)], length)


def silences(count: int, seed: int) -> dict[str, np.ndarray]:
    """Digital silence, a microphone's hiss, a room's rumble and plucked chords: float32 [count] each."""
    rng = np.random.default_rng(seed)
    rumble = np.convolve(rng.standard_normal(count), np.ones(64) / 8, mode="same")
    sounds = {
        "silence": np.zeros(count),
        "microphone": rng.standard_normal(count) * 10 ** (MICROPHONE_DB / 20),
        "room": rumble * 10 ** (ROOM_DB / 20),
        "music": _music(count, rng) * 10 ** (MUSIC_DB / 20),
    }
    return {kind: np.clip(samples, -1, 1).astype(np.float32) for kind, samples in sounds.items()}


def _music(count: int, rng: np.random.Generator) -> np.ndarray:
    """A chord on every beat, with overtones, at unit level."""
    time_s = np.arange(count) / SAMPLE_RATE
    into_beat = time_s % BEAT_S
    chord_S = (time_s // (4 * BEAT_S)).astype(int) % len(CHORDS_HZ)
    notes = np.array(CHORDS_HZ)[chord_S]
    sound = np.zeros(count)
    for overtone in range(1, 7):
        phase = 2 * np.pi * overtone * notes * into_beat[:, None] + rng.uniform(0, 2 * np.pi)
        sound += np.sin(phase).sum(axis=1) * np.exp(-into_beat * 2 * overtone) / overtone
    return sound / max(float(sound.std()), 1e-9)
