"""What can be measured on a film without a judge: detail, drift, and whether the mouth opens with the sound.

Called by ui/comparing.py, chunk by chunk. Figures to compare films of one face and voice by; not scores between faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashtalk.media.face import FaceBox, find_face

_END_S = 1.0
"""The first and the last second are compared for drift."""
_MOST_LAG = 4
_SHORTEST = 50
"""Frames below which nothing can be said about lips and sound."""
_SLOW = 25
"""Frames: what changes more slowly is light, pose or the speaker's distance, not a syllable."""
_CHANCE = 0.95
_MOUTH = (0.58, 0.88, 0.25, 0.75)
_UPPER_FACE = (0.05, 0.5, 0.1, 0.9)
"""Top, bottom, left and right in parts of the face's box."""
_DARKEST = 10
"""The mouth's inside is the darkest of so many parts of its surroundings."""
_GREY = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True)
class FilmMeasures:
    """Figures of one film.

    sharpness: its fine detail (mean size of what a Laplacian leaves) by the portrait's. drift_sharpness: the last
    second's by the first's. drift_colour: how far the mean colour moved, in levels of 255. sync: correlation of the
    mouth's opening with the sound's loudness at the best lag; None for short films. lag_ms: that lag, above 0 if the
    mouth is late; None where the same sound at other times fits about as well.
    """

    sharpness: float
    drift_sharpness: float
    drift_colour: float
    sync: float | None
    lag_ms: float | None


class Measurer:
    """Looks at frames as they come and keeps a few numbers of each. portrait_HWC: fitted to the film's size."""

    def __init__(self, portrait_HWC: np.ndarray, fps: int) -> None:
        self._detail = float(_detail(portrait_HWC[None])[0])
        self._fps = fps
        self._mouth = _MouthWatch(find_face(portrait_HWC) or _usual_face(portrait_HWC))
        self._detail_F: list[np.ndarray] = []
        self._colour_FC: list[np.ndarray] = []
        self._opening_F: list[float] = []

    def add(self, frames_FHWC: np.ndarray) -> None:
        """The next frames, uint8 RGB as the model made them."""
        self._detail_F.append(_detail(frames_FHWC))
        self._colour_FC.append(frames_FHWC.mean(axis=(1, 2)))
        self._opening_F += [self._mouth.opening(frame_HWC @ _GREY) for frame_HWC in frames_FHWC]

    def measures(self, speech_S: np.ndarray, sample_rate: int) -> FilmMeasures:
        """Of all frames added; speech_S: float32 mono, their sound."""
        detail_F, colour_FC = np.concatenate(self._detail_F), np.concatenate(self._colour_FC)
        ends = max(1, min(len(detail_F) // 2, round(_END_S * self._fps)))
        moved = np.abs(colour_FC[-ends:].mean(axis=0) - colour_FC[:ends].mean(axis=0)).max()
        fit, lag = lips_with_sound(np.array(self._opening_F), loudness(speech_S, sample_rate // self._fps))
        return FilmMeasures(
            sharpness=float(detail_F.mean() / max(self._detail, 1e-6)),
            drift_sharpness=float(detail_F[-ends:].mean() / max(detail_F[:ends].mean(), 1e-6)),
            drift_colour=float(moved),
            sync=None if fit is None else round(fit, 3),
            lag_ms=None if lag is None else 1000.0 * lag / self._fps,
        )


class _MouthWatch:
    """Follows the face from where it is in the portrait, and sees how dark it is where the mouth is."""

    def __init__(self, face: FaceBox) -> None:
        self._face = face
        self._first: np.ndarray | None = None

    def opening(self, grey_HW: np.ndarray) -> float:
        """Greater when the mouth is more open; the scale is the film's own."""
        upper = self._cut(grey_HW, _UPPER_FACE, 0, 0)
        if self._first is None:
            self._first = upper
        mouth = self._cut(grey_HW, _MOUTH, *_movement(self._first, upper)).ravel()
        if not mouth.size:
            return 0.0
        darkest = max(1, mouth.size // _DARKEST)
        return -float(np.partition(mouth, darkest - 1)[:darkest].mean())

    def _cut(self, grey_HW: np.ndarray, part: tuple[float, float, float, float], down: int, right: int) -> np.ndarray:
        face, (top, bottom, left, end) = self._face, part
        height, width = grey_HW.shape
        rows = [min(max(0, int(face.top + share * face.height) + down), height) for share in (top, bottom)]
        columns = [min(max(0, int(face.left + share * face.width) + right), width) for share in (left, end)]
        return grey_HW[slice(*rows), slice(*columns)]


def loudness(speech_S: np.ndarray, per_frame: int) -> np.ndarray:
    """Of each frame [F], in a scale like the ear's: the square root of the mean amplitude."""
    frames = len(speech_S) // per_frame
    power_F = (speech_S[: frames * per_frame].reshape(frames, per_frame).astype(np.float64) ** 2).mean(axis=1)
    return np.asarray(power_F**0.25)


def lips_with_sound(opening_F: np.ndarray, loud_F: np.ndarray) -> tuple[float | None, int | None]:
    """Correlation at the best lag, and that lag in frames if the sound of other moments does not fit as well."""
    frames = min(len(opening_F), len(loud_F))
    if frames < _SHORTEST:
        return None, None
    opening_F, loud_F = _syllables(opening_F[:frames]), _syllables(loud_F[:frames])
    best, lag = _best_lag(opening_F, loud_F)
    apart = _SLOW // 2
    others = [_best_lag(opening_F, np.roll(loud_F, shift))[0] for shift in range(apart, frames - apart)]
    return best, lag if best > np.quantile(others, _CHANCE) else None


def _syllables(values_F: np.ndarray) -> np.ndarray:
    """Without what changes slowly."""
    padded = np.pad(values_F, _SLOW // 2, mode="edge")
    return values_F - np.convolve(padded, np.ones(_SLOW) / _SLOW, "valid")


def _best_lag(opening_F: np.ndarray, loud_F: np.ndarray) -> tuple[float, int]:
    return max((_correlation(opening_F, loud_F, lag), lag) for lag in range(-_MOST_LAG, _MOST_LAG + 1))


def _correlation(late_F: np.ndarray, early_F: np.ndarray, lag: int) -> float:
    """Of `late_F` with `early_F` moved by `lag` frames."""
    frames = len(late_F)
    left, right = late_F[max(0, lag) : frames + min(0, lag)], early_F[max(0, -lag) : frames - max(0, lag)]
    if left.std() < 1e-6 or right.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def _movement(then_HW: np.ndarray, now_HW: np.ndarray) -> tuple[int, int]:
    """How many pixels down and right the picture moved (phase correlation)."""
    window_HW = np.outer(np.hanning(then_HW.shape[0]), np.hanning(then_HW.shape[1]))
    then, now = (np.fft.rfft2((grey - grey.mean()) * window_HW) for grey in (then_HW, now_HW))
    cross = now * np.conj(then)
    likely_HW = np.fft.irfft2(cross / (np.abs(cross) + 1e-3), then_HW.shape)
    peak = np.unravel_index(int(likely_HW.argmax()), likely_HW.shape)
    down, right = (int(at) if at < size / 2 else int(at) - size for at, size in zip(peak, then_HW.shape, strict=True))
    return down, right


def _detail(frames_FHWC: np.ndarray) -> np.ndarray:
    """[F]: mean size of what is left of grey levels when their surroundings are taken away."""
    grey_FHW = frames_FHWC @ _GREY
    around = grey_FHW[:, :-2, 1:-1] + grey_FHW[:, 2:, 1:-1] + grey_FHW[:, 1:-1, :-2] + grey_FHW[:, 1:-1, 2:]
    return np.asarray(np.abs(around - 4 * grey_FHW[:, 1:-1, 1:-1]).mean(axis=(1, 2)))


def _usual_face(portrait_HWC: np.ndarray) -> FaceBox:
    """Where portraits have it, if none was found."""
    height, width, _ = portrait_HWC.shape
    side = round(0.6 * min(height, width))
    return FaceBox((width - side) // 2, round(0.24 * height), side, side)
