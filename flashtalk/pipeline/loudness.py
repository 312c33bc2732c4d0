"""One slow gain that brings speech to a target loudness. Used by pipeline/window on what the model hears.

The law: loudness L is BS.1770 (K-weighting, 400 ms blocks every 100 ms, gates at -70 LUFS and 10 LU under the mean) of
all sound since the session began. Every 100 ms the gain moves towards target - L by at most 0.6 dB, within +-20 dB;
it starts at 0 dB, holds while nothing was audible yet, and inside 100 ms it is a straight line in dB. It depends on
past sound only, so the same sound gives the same gain however it is cut, and silence is never boosted by itself.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import sosfilt

BLOCK_S = 0.1
MAX_STEP_DB = 0.6
MAX_GAIN_DB = 20.0
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = 10.0
BINS_PER_LU = 10
BINS = 80 * BINS_PER_LU


class LoudnessGain:
    """The running gain of one session. Its whole state is the dict of arrays that `state()` gives."""

    def __init__(self, target_lufs: float, sample_rate: int) -> None:
        self.target_lufs = target_lufs
        self._block = round(BLOCK_S * sample_rate)
        self._sos = k_weighting(sample_rate)
        self._filter = np.zeros((len(self._sos), 2))
        self._square_sum = 0.0
        self._filled = 0
        self._recent = np.zeros(4)
        self._counts = np.zeros(BINS)
        self._gain_db = np.zeros(2)

    def apply(self, samples_S: np.ndarray) -> np.ndarray:
        """The samples with the gain applied, float32, not clipped: only networks hear them."""
        out = np.empty(len(samples_S), np.float32)
        done = 0
        while done < len(samples_S):
            count = min(self._block - self._filled, len(samples_S) - done)
            piece = samples_S[done : done + count]
            out[done : done + count] = piece * self._gain(count)
            self._hear(piece)
            done += count
        return out

    def state(self) -> dict[str, np.ndarray]:
        """All that the future depends on, as copies."""
        numbers = np.array([self._square_sum, self._filled], np.float64)
        arrays = {"filter": self._filter, "recent": self._recent, "counts": self._counts, "gain_db": self._gain_db}
        return {"numbers": numbers} | {name: array.copy() for name, array in arrays.items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a `state()`."""
        self._square_sum, self._filled = float(state["numbers"][0]), int(state["numbers"][1])
        self._filter, self._recent = state["filter"].copy(), state["recent"].copy()
        self._counts, self._gain_db = state["counts"].copy(), state["gain_db"].copy()

    @property
    def gain_db(self) -> float:
        """The gain at the end of the current 100 ms."""
        return float(self._gain_db[1])

    def _gain(self, count: int) -> np.ndarray:
        position = (self._filled + np.arange(count)) / self._block
        start_db, end_db = self._gain_db
        return 10 ** ((start_db + (end_db - start_db) * position) / 20)

    def _hear(self, piece_S: np.ndarray) -> None:
        weighted, self._filter = sosfilt(self._sos, piece_S.astype(np.float64), zi=self._filter)
        # One sample after another: numpy's pairwise sum would depend on where the pieces are cut.
        self._square_sum = float(np.cumsum(np.concatenate(([self._square_sum], weighted**2)))[-1])
        self._filled += len(piece_S)
        if self._filled == self._block:
            self._close_block()

    def _close_block(self) -> None:
        self._recent = np.append(self._recent[1:], self._square_sum / self._block)
        self._square_sum, self._filled = 0.0, 0
        level = to_lufs(float(self._recent.mean()))
        if level > ABSOLUTE_GATE_LUFS:
            self._counts[min(BINS - 1, int((level - ABSOLUTE_GATE_LUFS) * BINS_PER_LU))] += 1
        self._gain_db = np.array([self._gain_db[1], self._next_gain_db()])

    def _next_gain_db(self) -> float:
        now_db = float(self._gain_db[1])
        if not self._counts.any():
            return now_db
        wanted_db = np.clip(self.target_lufs - gated_loudness(self._counts), -MAX_GAIN_DB, MAX_GAIN_DB)
        return now_db + float(np.clip(wanted_db - now_db, -MAX_STEP_DB, MAX_STEP_DB))


def k_weighting(sample_rate: int) -> np.ndarray:
    """The two filters of BS.1770 for any rate, as second-order sections: a 4 dB high shelf and a 38 Hz high-pass."""
    return np.array([_high_shelf(1681.974450955533, 3.999843853973347, sample_rate), _high_pass(sample_rate)])


def to_lufs(mean_square: float) -> float:
    """Loudness of K-weighted mean square, mono."""
    return -0.691 + 10 * math.log10(max(mean_square, 1e-12))


def gated_loudness(counts: np.ndarray) -> float:
    """Integrated loudness from a histogram of block loudnesses above the absolute gate."""
    levels = ABSOLUTE_GATE_LUFS + (np.arange(BINS) + 0.5) / BINS_PER_LU
    energy = 10 ** ((levels + 0.691) / 10)
    gate = to_lufs(float(counts @ energy / counts.sum())) - RELATIVE_GATE_LU
    kept = np.where(levels > gate, counts, 0)
    return to_lufs(float(kept @ energy / kept.sum()))


def _high_shelf(frequency: float, gain_db: float, sample_rate: int, q: float = 0.7071752369554196) -> np.ndarray:
    k = math.tan(math.pi * frequency / sample_rate)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    numerator = (high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k)
    return _section(numerator, k, q)


def _high_pass(sample_rate: int, frequency: float = 38.13547087602444, q: float = 0.5003270373238773) -> np.ndarray:
    k = math.tan(math.pi * frequency / sample_rate)
    norm = 1 + k / q + k * k
    return _section((norm, -2 * norm, norm), k, q)


def _section(numerator: tuple[float, float, float], k: float, q: float) -> np.ndarray:
    denominator = (1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k)
    return np.array((*numerator, *denominator)) / denominator[0]
