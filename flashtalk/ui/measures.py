"""What can be measured on a film without a judge: sharpness, drift, and whether the mouth moves with the sound.

Called by ui/tabs/compare.py. Plain numbers to compare films of one face by; not scores between faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_END_S = 1.0
"""The first and the last second are compared for drift."""
_MOST_LAG = 6
_EVERY_PX = 4
"""Of the mouth's pixels in each direction; the rest says the same."""


@dataclass(frozen=True)
class FilmMeasures:
    """Figures of one film.

    sharpness: variance of the Laplacian of grey levels. drift_sharpness: the last second's by the first's.
    drift_colour: how far the mean colour moved, in levels of 255. sync: correlation, 0 to 1, of the mouth's movement
    with the sound's loudness at the best lag; lag_ms: that lag, above 0 if the mouth is late; None for short films.
    """

    sharpness: float
    drift_sharpness: float
    drift_colour: float
    sync: float | None
    lag_ms: float | None


def measure(frames_FHWC: np.ndarray, speech_S: np.ndarray, fps: int, sample_rate: int) -> FilmMeasures:
    """Of uint8 RGB frames and their sound."""
    grey_FHW = frames_FHWC @ np.array((0.299, 0.587, 0.114), np.float32)
    sharp_F = np.array([_sharpness(grey_HW) for grey_HW in grey_FHW])
    ends = max(1, min(len(frames_FHWC) // 2, round(_END_S * fps)))
    colour_FC = frames_FHWC.mean(axis=(1, 2))
    moved = np.abs(colour_FC[-ends:].mean(axis=0) - colour_FC[:ends].mean(axis=0)).max()
    sync, lag = _sync(grey_FHW, speech_S, sample_rate // fps)
    return FilmMeasures(
        sharpness=float(sharp_F.mean()),
        drift_sharpness=float(sharp_F[-ends:].mean() / max(sharp_F[:ends].mean(), 1e-6)),
        drift_colour=float(moved),
        sync=sync,
        lag_ms=None if lag is None else 1000.0 * lag / fps,
    )


def _sharpness(grey_HW: np.ndarray) -> float:
    inner = grey_HW[1:-1, 1:-1]
    around = grey_HW[:-2, 1:-1] + grey_HW[2:, 1:-1] + grey_HW[1:-1, :-2] + grey_HW[1:-1, 2:]
    return float((around - 4 * inner).var())


def _sync(grey_FHW: np.ndarray, speech_S: np.ndarray, per_frame: int) -> tuple[float | None, int | None]:
    """The mouth is looked for where portraits have it: the middle third across, the lower half of the face."""
    frames = min(len(grey_FHW), len(speech_S) // per_frame)
    if frames < 4 * _MOST_LAG:
        return None, None
    _, height, width = grey_FHW.shape
    mouth = grey_FHW[:frames, height // 2 : height * 4 // 5, width // 3 : width * 2 // 3]
    opened = _main_movement(mouth[:, ::_EVERY_PX, ::_EVERY_PX].reshape(frames, -1))
    loud = np.sqrt((speech_S[: frames * per_frame].reshape(frames, per_frame) ** 2).mean(axis=1) + 1e-9)
    found = [(abs(_correlation(opened, loud, lag)), lag) for lag in range(-_MOST_LAG, _MOST_LAG + 1)]
    best, lag = max(found)
    return round(best, 3), lag


def _main_movement(pixels_FP: np.ndarray) -> np.ndarray:
    """Where each frame stands along what changes most (the first principal component; its sign means nothing)."""
    centred_FP = pixels_FP - pixels_FP.mean(axis=0)
    _, directions_PP = np.linalg.eigh(centred_FP.T @ centred_FP)
    return np.asarray(centred_FP @ directions_PP[:, -1])


def _correlation(late: np.ndarray, early: np.ndarray, lag: int) -> float:
    """Of `late` with `early` moved by `lag` frames."""
    left, right = (late[lag:], early[: len(early) - lag]) if lag >= 0 else (late[:lag], early[-lag:])
    if left.std() < 1e-6 or right.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
