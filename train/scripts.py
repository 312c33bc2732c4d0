"""Scripts of many clips, written by several processes: sound, motion and actor as plain arrays. Used by train/data."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from train.clip import FPS
from train.config import SpeechConfig
from train.synthetic.clips import ClipMaker, Speech
from train.synthetic.phonemes import SYMBOLS, Phoneme
from train.synthetic.sources import open_speech
from train.synthetic.traits import Character, draw_character


@dataclass(frozen=True)
class Part:
    """One clip's script. samples_S: int16 at 16 kHz; phonemes_F: 0 silence, else 1 + place in SYMBOLS.

    recorded: a voice of the corpus speaks.
    """

    character_seed: int
    split: str
    caption: str
    samples_S: NDArray[np.int16]
    poses_FP: NDArray[np.float32]
    phonemes_F: NDArray[np.int16]
    recorded: bool

    @property
    def character(self) -> Character:
        """Who acts."""
        return draw_character(self.character_seed, self.split)


@dataclass(frozen=True)
class Order:
    """What is asked for: the same order gives the same parts, whatever the number of workers."""

    seed: int
    split: str
    frames: int
    speech: SpeechConfig


def write_parts(order: Order, numbers: range, workers: int) -> Iterator[Part]:
    """The parts of these clip numbers, in their order."""
    if workers <= 1:
        yield from (write_part(order, number) for number in numbers)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_alone) as pool:
        yield from pool.map(_write_numbered, ((order, number) for number in numbers), chunksize=8)


def write_part(order: Order, number: int) -> Part:
    """One part."""
    script = _maker(order).script(number)
    samples = np.clip(np.round(script.sound.samples * 32767), -32768, 32767).astype(np.int16)
    poses = script.performance.poses_FP.numpy().astype(np.float32)
    classes = phoneme_classes(script.sound.phonemes, order.frames)
    recorded = script.sound.source not in ("espeak", "negative")
    return Part(script.character.seed, order.split, script.caption, samples, poses, classes, recorded)


def phoneme_classes(phonemes: tuple[Phoneme, ...], frames: int) -> NDArray[np.int16]:
    """What is said at the time of each frame, i / 25 s."""
    classes = np.zeros(frames, np.int16)
    for phoneme in phonemes:
        first, last = (int(np.ceil(time_s * FPS)) for time_s in (phoneme.start_s, phoneme.end_s))
        classes[max(0, first) : max(0, last)] = 1 + SYMBOLS.index(phoneme.symbol)
    return classes


@lru_cache(maxsize=16)
def _maker(order: Order) -> ClipMaker:
    return ClipMaker(order.seed, order.split, _speech(order.speech), frame_count=order.frames)


@lru_cache(maxsize=1)
def _speech(config: SpeechConfig) -> Speech:
    """Orders share it: a corpus takes a gigabyte and seconds to open."""
    return open_speech(config)


def _write_numbered(job: tuple[Order, int]) -> Part:
    return write_part(*job)


def _alone() -> None:
    torch.set_num_threads(1)
