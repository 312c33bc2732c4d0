"""Pictures of many shapes in few sizes: which size a clip goes to, how it is resized and cropped. Called by
train/footage (paper 3.2: dynamic aspect-ratio buckets); train/sizes has each training iteration learn from one of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from flashtalk.errors import ConfigError, InputError
from flashtalk.media.face import FaceBox
from flashtalk.media.fit import cover_size, crop_offset
from train.clip import Frames

MULTIPLE_PX = 32
MOST_LOSS = 0.2
"""Part of a picture's area that may be cropped away."""
MOST_UPSCALE = 1.5
_LEAST_FILL = 0.9
_FACE_MARGIN = 0.15
"""Room that is kept around a face box (brows to chin), in parts of its size."""


@dataclass(frozen=True, order=True)
class Bucket:
    """One size of pictures in pixels."""

    height: int
    width: int

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height

    def tokens(self, token_px: int) -> int:
        """Of one latent frame, where a token covers token_px x token_px pixels (14B: 16)."""
        return (self.height // token_px) * (self.width // token_px)


@dataclass(frozen=True)
class Placement:
    """How a picture comes to its bucket: resized to (height, width), then a window at (top, left)."""

    bucket: Bucket
    height: int
    width: int
    top: int
    left: int


def make_buckets(most_tokens: int, token_px: int = 16, most_aspect: float = 2.0) -> tuple[Bucket, ...]:
    """Sizes in multiples of 32 that use 90 to 100 % of the tokens of a latent frame, from narrow to wide.

    Both orientations of every shape up to 1:most_aspect. Raises ConfigError if there is none.
    """
    longest = math.floor(math.sqrt(most_tokens * most_aspect) * token_px / MULTIPLE_PX + 1) * MULTIPLE_PX
    sides = range(MULTIPLE_PX, longest + 1, MULTIPLE_PX)
    found = set()
    for side in sides:
        other = max((s for s in sides if Bucket(side, s).tokens(token_px) <= most_tokens), default=0)
        bucket = Bucket(side, other)
        fits = other and 1 / most_aspect <= bucket.aspect <= most_aspect
        if fits and bucket.tokens(token_px) >= _LEAST_FILL * most_tokens:
            found |= {bucket, Bucket(other, side)}
    if not found:
        message = f"no size of multiples of {MULTIPLE_PX} pixels has about {most_tokens} tokens; allow more or fewer"
        raise ConfigError(message, code="buckets")
    largest = {bucket for bucket in found if not any(_holds(other, bucket) for other in found - {bucket})}
    return tuple(sorted(largest, key=lambda bucket: bucket.aspect))


def nearest(buckets: Sequence[Bucket], height: int, width: int) -> Bucket:
    """The bucket whose shape is nearest (by the logarithm of width by height; of equals the first)."""
    return min(buckets, key=lambda bucket: abs(math.log(bucket.aspect * height / width)))


def place(buckets: Sequence[Bucket], height: int, width: int, face: FaceBox | None = None) -> Placement:
    """Where a picture goes: resized to cover its nearest bucket, cropped around its middle, moved to keep the face.

    face: in the picture's pixels, or None. Raises InputError: bucket_loss (over 20 % cropped away), bucket_upscale
    (over 1.5 times), bucket_face (the crop would cut the face).
    """
    bucket = nearest(buckets, height, width)
    cover_w, cover_h = cover_size(width, height, bucket.width, bucket.height)
    loss = 1 - bucket.height * bucket.width / (cover_h * cover_w)
    if loss > MOST_LOSS:
        raise InputError(
            f"{height} x {width} would lose {loss:.0%} in {bucket}; {MOST_LOSS:.0%} may", code="bucket_loss"
        )
    if cover_h / height > MOST_UPSCALE:
        message = f"{height} x {width} would grow {cover_h / height:.2f} times in {bucket}; {MOST_UPSCALE} may"
        raise InputError(message, code="bucket_upscale")
    down, across = _face_spans(face, cover_h / height, cover_w / width)
    top, left = crop_offset(cover_h, bucket.height, down), crop_offset(cover_w, bucket.width, across)
    if face is not None and (
        _cut(face.top, face.height, cover_h / height, top, bucket.height)
        or _cut(face.left, face.width, cover_w / width, left, bucket.width)
    ):
        raise InputError(f"the face {face} does not fit into {bucket}", code="bucket_face")
    return Placement(bucket, cover_h, cover_w, top, left)


def fit_frames(frames_FHWC: Frames, placement: Placement) -> Frames:
    """Frames at the bucket's size (area-weighted filtering when shrinking)."""
    bucket = placement.bucket
    fitted_FHWC = np.empty((len(frames_FHWC), bucket.height, bucket.width, 3), np.uint8)
    for target_HWC, frame_HWC in zip(fitted_FHWC, frames_FHWC, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(frame_HWC))
        resized = picture.resize((placement.width, placement.height), Image.Resampling.BILINEAR)
        right, bottom = placement.left + bucket.width, placement.top + bucket.height
        target_HWC[:] = np.asarray(resized.crop((placement.left, placement.top, right, bottom)))
    return fitted_FHWC


def _holds(outer: Bucket, inner: Bucket) -> bool:
    return outer.height >= inner.height and outer.width >= inner.width


def _face_spans(
    face: FaceBox | None, scale_h: float, scale_w: float
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """(first, last) of the face with its margin, down and across, in the resized picture's pixels."""
    if face is None:
        return None, None
    spans = ((face.top, face.height, scale_h), (face.left, face.width, scale_w))
    down, across = (
        ((at - _FACE_MARGIN * size) * scale, (at + (1 + _FACE_MARGIN) * size) * scale) for at, size, scale in spans
    )
    return down, across


def _cut(at: int, size: int, scale: float, offset: int, window: int) -> bool:
    """Whether [at, at + size] lies outside the window, a pixel's rounding aside."""
    return at * scale < offset - 1 or (at + size) * scale > offset + window + 1
