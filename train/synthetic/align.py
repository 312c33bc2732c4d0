"""Phoneme times of recorded speech whose words are known: the phonemes are laid along the sound by Viterbi's algorithm
on what an audio encoder hears (train/phones). Called by prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.synthetic.phonemes import SYMBOLS, Phoneme

HOP_S = 0.01
"""Between two rows of log-probabilities."""
SILENCE = 0
"""Its class; symbol i of SYMBOLS has class 1 + i."""
_LEAST_ROWS = 3
"""The shortest phoneme, in rows."""
_PAUSE_COST = 6.0
"""Of a silence between two phonemes, beyond what is heard, in nats: words follow each other without one."""
_UNHEARD = -9.0
"""Lowest log-probability: what the encoder calls impossible may be an accent."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """Phonemes with times in the recording, and how well it was heard to say them.

    `confidence` is the mean over the phonemes' rows of log-probability less that of the class heard best, in nats: 0 if
    nothing else would have been understood, below -2 for other words.
    """

    phonemes: tuple[Phoneme, ...]
    confidence: float


def align(heard_RC: NDArray[np.float32], said: Sequence[Phoneme]) -> Alignment | None:
    """Times of the phonemes that are `said` (their order counts, their own times do not).

    `heard` holds log-probabilities of the classes in rows of HOP_S. None if the sound is too short to say all that.
    """
    states_S = _states([1 + SYMBOLS.index(phoneme.symbol) for phoneme in said])
    scores_RC = np.maximum(heard_RC.astype(np.float64), _UNHEARD)
    path_R = _best_path(scores_RC[:, states_S], states_S)
    if path_R is None:
        return None
    place_R = np.where(states_S[path_R] == SILENCE, -1, _phoneme_of(states_S)[path_R])
    rows = [np.flatnonzero(place_R == place) for place in range(len(said))]
    phonemes = tuple(
        Phoneme(phoneme.symbol, float(own[0]) * HOP_S, float(own[-1] + 1) * HOP_S, phoneme.stress)
        for phoneme, own in zip(said, rows, strict=True)
    )
    spoken_R = place_R >= 0
    missed_R = scores_RC[np.arange(len(path_R)), states_S[path_R]] - scores_RC.max(1)
    return Alignment(phonemes, float(missed_R[spoken_R].mean()))


def _states(classes: Sequence[int]) -> NDArray[np.intp]:
    """Class of each state: silence, then _LEAST_ROWS states of a phoneme and one of silence, for each in turn."""
    one = [[SILENCE], *([kind] * _LEAST_ROWS + [SILENCE] for kind in classes)]
    return np.array([kind for states in one for kind in states], np.intp)


def _phoneme_of(states_S: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which phoneme each state belongs to; the silences' numbers mean nothing."""
    return np.maximum(np.arange(len(states_S)) - 1, 0) // (_LEAST_ROWS + 1)


def _best_path(scores_RS: Array, states_S: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """The state of each row. A silence may be passed over; all other states come in their order."""
    rows, states = scores_RS.shape
    if rows < states - (states_S == SILENCE).sum():
        return None
    entry_S = np.where(states_S == SILENCE, -_PAUSE_COST, 0.0)
    entry_S[[0, -1]] = 0.0
    may_skip_S = np.zeros(states, bool)
    may_skip_S[2:] = states_S[1:-1] == SILENCE
    total_S = np.full(states, -np.inf)
    total_S[:2] = scores_RS[0, :2]
    came_RS = np.zeros((rows, states), np.int8)
    for row in range(1, rows):
        ways = np.full((3, states), -np.inf)
        ways[0] = total_S
        ways[1, 1:] = total_S[:-1] + entry_S[1:]
        ways[2, 2:] = np.where(may_skip_S[2:], total_S[:-2], -np.inf)
        came_RS[row] = ways.argmax(0)
        total_S = ways.max(0) + scores_RS[row]
    last = states - 1 if total_S[-1] >= total_S[-2] else states - 2
    return _backtracked(came_RS, last) if np.isfinite(total_S[last]) else None


def _backtracked(came_RS: NDArray[np.int8], last: int) -> NDArray[np.intp]:
    path_R = np.empty(len(came_RS), np.intp)
    for row in range(len(came_RS) - 1, -1, -1):
        path_R[row] = last
        last -= int(came_RS[row, last])
    return path_R
