"""Many utterances of espeak-ng, the same by seed and index whatever the number of workers. Called by the corpus."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from train.synthetic import texts
from train.synthetic.espeak import SpeechMaker
from train.synthetic.phonemes import Utterance
from train.synthetic.voices import draw_language, draw_voice

_SHARES = {"train": 0.85, "validation": 0.05, "test": 0.10}


@dataclass(frozen=True)
class SpeakerConfig:
    """Which utterances `utterances` gives: `split` "" draws it (85 / 5 / 10 %), `language` "" draws it.

    `espeak_library` and `espeak_data` as `library` and `data` of SpeechMaker ("" for the system's).
    """

    seed: int = 0
    split: str = ""
    language: str = ""
    espeak_library: str = ""
    espeak_data: str = ""

    def maker(self) -> SpeechMaker:
        """The synthesiser; ConfigError `espeak_missing`."""
        return SpeechMaker(self.espeak_library or None, self.espeak_data or None)


def draw_utterance(maker: SpeechMaker, config: SpeakerConfig, index: int) -> Utterance:
    """The `index`-th utterance of a config: split, language, voice and sentence come from (seed, index)."""
    rng = np.random.default_rng([config.seed, index])
    split = config.split or str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    language = config.language or draw_language(rng, split)
    voice = draw_voice(rng, split, language)
    sentence = next(texts.sentences(language, split, rng))
    seed = int(rng.integers(2**32))
    return maker.speak(sentence.text, voice, split=split, spoken=sentence.spoken, seed=seed)


def utterances(config: SpeakerConfig, *, workers: int = 1, start: int = 0) -> Iterator[Utterance]:
    """Endless utterances from index `start` on, in order, made by `workers` spawned processes (1: by this one)."""
    if workers <= 1:
        maker = config.maker()
        for index in count(start):
            yield draw_utterance(maker, config, index)
    with multiprocessing.get_context("spawn").Pool(workers, _start_worker, (config,)) as pool:
        for first in count(start, _BATCH * workers):
            yield from pool.imap(_work, range(first, first + _BATCH * workers), chunksize=4)


_BATCH = 64
"""Utterances a worker makes ahead of what was asked for."""

_worker: tuple[SpeechMaker, SpeakerConfig] | None = None


def _start_worker(config: SpeakerConfig) -> None:
    global _worker  # noqa: PLW0603
    _worker = (config.maker(), config)


def _work(index: int) -> Utterance:
    assert _worker is not None
    return draw_utterance(*_worker, index)


def for_duration(source: Iterator[Utterance], seconds: float) -> Iterator[Utterance]:
    """The first utterances of `source` that together last at least `seconds`."""
    total = 0.0
    while total < seconds:
        utterance = next(source, None)
        if utterance is None:
            return
        total += utterance.duration_s
        yield utterance
