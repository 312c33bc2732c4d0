"""The drift meter: how far a film's pictures have moved away from the portrait. Called by render.py for each chunk.

Plain measures on a few frames, cheap and without a network; curves that stay level mean that nothing drifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashtalk.media.face import find_face

_GRID, _REACH = 48, 4
_XYZ_OF_RGB = np.array(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)))
_WHITE = np.array((0.9505, 1.0, 1.089))


@dataclass(frozen=True)
class Look:
    """likeness: correlation with the portrait's face, 1 is the same. sharpness: detail there, 1 is the portrait's.
    colour: distance of the mean colour from the portrait's in CIE Lab; 2 is just visible.
    """

    likeness: float
    sharpness: float
    colour: float


class DriftMeter:
    """Compares frames with one portrait, uint8 RGB [H, W, 3] of the film's size, within the portrait's face."""

    def __init__(self, portrait_HWC: np.ndarray) -> None:
        self._window = _window(portrait_HWC)
        self._pattern, self._detail, self._lab = self._measure(portrait_HWC)

    def look(self, frames_FHWC: np.ndarray) -> Look:
        """The mean over the first, middle and last frame."""
        last = len(frames_FHWC) - 1
        looks = [self._compare(frames_FHWC[index]) for index in sorted({0, last // 2, last})]
        likeness, sharpness, colour = np.mean(looks, axis=0)
        return Look(round(float(likeness), 4), round(float(sharpness), 4), round(float(colour), 3))

    def _compare(self, frame_HWC: np.ndarray) -> tuple[float, float, float]:
        pattern, detail, lab = self._measure(frame_HWC)
        return (
            _best_match(pattern, self._pattern),
            detail / max(self._detail, 1e-6),
            float(np.linalg.norm(lab - self._lab)),
        )

    def _measure(self, frame_HWC: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
        """(small picture, detail, mean Lab)."""
        face = frame_HWC[self._window].astype(np.float32) / 255
        grey = face.mean(axis=2)
        detail = float(
            np.abs(4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]).mean()
        )
        return _shrunk(grey), detail, _lab(face.reshape(-1, 3).mean(axis=0))


def _window(portrait_HWC: np.ndarray) -> tuple[slice, slice]:
    """The face with its hair, or the middle where none is found."""
    height, width = portrait_HWC.shape[:2]
    box = find_face(portrait_HWC)
    if box is None:
        return slice(height // 8, height - height // 8), slice(width // 8, width - width // 8)
    margin = box.height // 4
    return (
        slice(max(0, box.top - margin), min(height, box.top + box.height + margin)),
        slice(max(0, box.left - margin), min(width, box.left + box.width + margin)),
    )


def _shrunk(grey_HW: np.ndarray) -> np.ndarray:
    """Mean of each cell of a small grid."""
    rows, columns = (np.linspace(0, side, min(_GRID, side) + 1).astype(int) for side in grey_HW.shape)
    sums = np.add.reduceat(np.add.reduceat(grey_HW, rows[:-1], axis=0), columns[:-1], axis=1)
    return sums / (np.diff(rows)[:, None] * np.diff(columns)[None])


def _best_match(small_HW: np.ndarray, portrait_HW: np.ndarray) -> float:
    """Correlation of the two, the head moved by a few cells at most: a nod is no other person."""
    reach = min(_REACH, min(small_HW.shape) // 4)
    height, width = (side - 2 * reach for side in small_HW.shape)
    middle = _normalised(portrait_HW[reach : reach + height, reach : reach + width])
    windows = np.lib.stride_tricks.sliding_window_view(small_HW, (height, width))
    return max(float((_normalised(window) * middle).mean()) for row in windows for window in row)


def _normalised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / max(float(values.std()), 1e-6)


def _lab(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = _XYZ_OF_RGB @ linear / _WHITE
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array((116 * roots[1] - 16, 500 * (roots[0] - roots[1]), 200 * (roots[1] - roots[2])))
