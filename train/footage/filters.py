"""What a clip must be like to teach talking: measurements and their limits. Called by footage/read.

Limits follow the published filters of TalkVid and SpeakerVid-5M and what a reproduction of the paper found necessary;
sync is a proxy without weights (mouth motion against loudness) that sorts out dubbed and shifted clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from flashtalk.errors import InputError
from flashtalk.media.face import FaceBox
from train.clip import SAMPLES_PER_FRAME, Frames, Samples

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Least and most of each measurement; shares are 0..1, levels 0..255, loudness dBFS, lags in frames of 40 ms."""

    least_frames: int = 33
    most_length_difference_s: float = 0.2
    least_face_share: float = 0.08
    """Height of the face by height of the picture."""
    least_face_px: int = 64
    least_single_face: float = 0.95
    """Share of the looked-at frames with exactly one face."""
    luminance: tuple[float, float] = (10.0, 210.0)
    least_loudness_db: float = -40.0
    least_background_ssim: float = 0.96
    least_sync: float = 0.2
    """Correlation of mouth motion and loudness at the best lag."""
    most_lag: int = 3
    most_cut: float = 0.5
    """Distance of two neighbouring frames' histograms, 0 same to 1 disjoint; more is a cut."""


@dataclass(frozen=True)
class Measured:
    """Measurements of one clip; see Limits."""

    face_share: float
    face_px: float
    single_face: float
    luminance: float
    loudness_db: float
    background_ssim: float
    sync: float
    lag: int
    cut: float

    def check(self, limits: Limits) -> None:
        """Raise InputError with the code of the first limit that does not hold (face_size, face_count, ...)."""
        low, high = limits.luminance
        checks = (
            ("face_count", self.single_face >= limits.least_single_face, self.single_face),
            ("face_size", self.face_share >= limits.least_face_share, self.face_share),
            ("face_size", self.face_px >= limits.least_face_px, self.face_px),
            ("luminance", low <= self.luminance <= high, self.luminance),
            ("loudness", self.loudness_db >= limits.least_loudness_db, self.loudness_db),
            ("cut", self.cut <= limits.most_cut, self.cut),
            ("background", self.background_ssim >= limits.least_background_ssim, self.background_ssim),
            ("sync", self.sync >= limits.least_sync, self.sync),
            ("sync_lag", abs(self.lag) <= limits.most_lag, self.lag),
        )
        for code, holds, value in checks:
            if not holds:
                raise InputError(f"clip left out: {code} measured {value:.3g}, outside {limits}", code=code)

    def to_json(self) -> dict[str, float]:
        """Rounded, for a clip's details."""
        return {name: round(float(value), 4) for name, value in asdict(self).items()}


def measure(frames_FHWC: Frames, samples: Samples, faces: Sequence[FaceBox | None]) -> Measured:
    """Measure a clip. faces: what was found in some of its frames, None where there was none."""
    found = [face for face in faces if face is not None]
    if not found:
        raise InputError("clip left out: no face was found in it", code="face_count")
    face = typical_face(found)
    sync, lag = lip_sync(frames_FHWC, samples, face)
    return Measured(
        face_share=face.height / frames_FHWC.shape[1],
        face_px=face.height,
        single_face=sum(one.count == 1 for one in found) / len(faces),
        luminance=float(frames_FHWC[:: max(1, len(frames_FHWC) // 8)].mean()),
        loudness_db=10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12)),
        background_ssim=background_ssim(frames_FHWC, face),
        sync=sync,
        lag=lag,
        cut=largest_cut(frames_FHWC),
    )


def typical_face(faces: Sequence[FaceBox]) -> FaceBox:
    """The median box."""
    sides = np.median([[face.left, face.top, face.width, face.height] for face in faces], axis=0)
    return FaceBox(*(round(side) for side in sides))


def lip_sync(frames_FHWC: Frames, samples: Samples, face: FaceBox, most: int = 10) -> tuple[float, int]:
    """(correlation, lag) of motion in the mouth's region and loudness; lag > 0: the picture comes later, in frames.

    Motion from frame i to i + 1 is compared with the loudness of the sound between them.
    """
    height, width = frames_FHWC.shape[1:3]
    top, bottom = (min(max(round(face.top + part * face.height), 0), height) for part in (0.62, 1.0))
    left, right = (min(max(round(face.left + part * face.width), 0), width) for part in (0.2, 0.8))
    mouth = frames_FHWC[:, top:bottom, left:right].astype(np.float32).mean(-1)
    if mouth.size == 0 or len(mouth) < 2 * most + 4:
        return 0.0, 0
    motion = np.abs(np.diff(mouth, axis=0)).mean((1, 2)).astype(np.float64)
    loudness = np.sqrt(np.square(samples.reshape(-1, SAMPLES_PER_FRAME), dtype=np.float64).mean(1))[: len(motion)]
    motion, loudness = _smooth(motion), _smooth(loudness)
    lags = range(-most, most + 1)
    scores = [_at_lag(motion, loudness, lag) for lag in lags]
    best = int(np.argmax(scores))
    return scores[best], lags[best]


def background_ssim(frames_FHWC: Frames, face: FaceBox) -> float:
    """Lowest structural similarity of first, middle and last frame outside the person, 1 if nothing is outside.

    The person is taken as a head of 1.8 face widths and heights around the face, and 3.4 widths of shoulders below.
    """
    height, width = frames_FHWC.shape[1:3]
    outside = np.ones((height, width), bool)
    middle_x, chin = face.left + face.width / 2, face.top + face.height
    for wide, top, bottom in ((0.9, face.top - 0.8 * face.height, chin), (1.7, chin, height)):
        left, right = (max(0, round(middle_x + side * wide * face.width)) for side in (-1, 1))
        outside[max(0, round(top)) : round(bottom), left:right] = False
    if outside.mean() < 0.02:
        return 1.0
    first, middle, last = (frames_FHWC[at].mean(-1) for at in (0, len(frames_FHWC) // 2, len(frames_FHWC) - 1))
    return min(float(_ssim(first, other)[outside].mean()) for other in (middle, last))


def largest_cut(frames_FHWC: Frames) -> float:
    """Largest histogram distance of neighbouring frames, 0..1."""
    return max((float(np.abs(a - b).sum() / 2) for a, b in _pairs(frames_FHWC)), default=0.0)


def _pairs(frames_FHWC: Frames) -> Iterator[tuple[Array, Array]]:
    before: Array | None = None
    for frame_HWC in frames_FHWC:
        small = frame_HWC[::4, ::4].reshape(-1, 3) >> 5
        counts = np.bincount((small[:, 0].astype(int) * 8 + small[:, 1]) * 8 + small[:, 2], minlength=512)
        now = counts / counts.sum()
        if before is not None:
            yield before, now
        before = now


def _ssim(a: Array, b: Array, window: int = 7) -> Array:
    """Structural similarity (Wang et al., 2004) of two grey pictures, [H, W]."""
    mean_a, mean_b = uniform_filter(a, window), uniform_filter(b, window)
    var_a = uniform_filter(a * a, window) - mean_a**2
    var_b = uniform_filter(b * b, window) - mean_b**2
    both = uniform_filter(a * b, window) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def _smooth(track: Array) -> Array:
    return np.convolve(track, (0.25, 0.5, 0.25), mode="same")


def _at_lag(motion: Array, loudness: Array, lag: int) -> float:
    """Correlation of motion[i + lag] and loudness[i]."""
    count = len(motion)
    return _correlation(motion[max(0, lag) : count + min(0, lag)], loudness[max(0, -lag) : count - max(0, lag)])


def _correlation(a: Array, b: Array) -> float:
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 1e-9 else 0.0
