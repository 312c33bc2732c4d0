"""Brings a portrait to the model's size: cover (crop around the head) or contain (pad). Called through image.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from PIL import Image

from flashtalk.config import snap
from flashtalk.media.face import FaceBox, find_face

RESIZE_FILTER = Image.Resampling.BILINEAR
"""The published model's; pictures made for it were resized so."""

_HEAD_ABOVE, _HEAD_BELOW, _HEAD_BESIDE = 0.6, 0.3, 0.4
"""Room for hair, chin and ears around a face box, in parts of its size."""
_UNDER_CHIN = 0.05
"""The least of it below, where a window is too low for a head."""


def fit_portrait(
    rgb_HWC: np.ndarray,
    width: int,
    height: int,
    fit: Literal["cover", "contain"] = "cover",
    find: Callable[[np.ndarray], FaceBox | None] = find_face,
) -> np.ndarray:
    """uint8 RGB of any size -> uint8 [height, width, 3].

    cover: resized to cover, then cropped; the middle, moved as little as keeps the whole head (if `find` sees one) in
    the picture. contain: the whole picture, padded with the mean colour of the edges that the padding touches, which
    disturbs the picture's colour statistics, and the eye, less than grey bars do.
    """
    return _contain(rgb_HWC, width, height) if fit == "contain" else _cover(rgb_HWC, width, height, find)


def cover_size(source_w: int, source_h: int, width: int, height: int) -> tuple[int, int]:
    """Width and height to resize to, so that width x height is just covered (the published rounding: up)."""
    # In this order of operations, because its float error decides a pixel at some sizes.
    scale = max(height / source_h, width / source_w)
    return max(width, math.ceil(scale * source_w)), max(height, math.ceil(scale * source_h))


def crop_offset(length: int, window: int, head: tuple[float, float] | None = None, chin: float | None = None) -> int:
    """Where a window begins along one axis: in the middle, moved as little as puts `head` (first, last) inside.

    A head longer than the window is cut at `chin`, so that hair goes and the mouth that is to speak stays; where no
    chin is given, as across, it loses as much at both ends.
    """
    offset = (length - window) / 2
    if head is not None:
        first, last = head
        low, high = last - window, first
        if low > high:
            low = high = (low + high) / 2 if chin is None else chin - window
        offset = min(max(offset, low), high)
    return min(max(round(offset), 0), length - window)


def snap_size(width: float, height: float, multiple_w: int, multiple_h: int) -> tuple[int, int]:
    """The nearest legal (width, height), at least one multiple each."""
    return snap(round(width), multiple_w), snap(round(height), multiple_h)


def size_for(rgb_HWC: np.ndarray, area_px: int, multiple_w: int, multiple_h: int) -> tuple[int, int]:
    """A legal (width, height) of about `area_px` pixels and the picture's aspect ratio."""
    height, width = rgb_HWC.shape[:2]
    scale = math.sqrt(max(1, area_px) / (width * height))
    return snap_size(width * scale, height * scale, multiple_w, multiple_h)


def _cover(rgb_HWC: np.ndarray, width: int, height: int, find: Callable[[np.ndarray], FaceBox | None]) -> np.ndarray:
    source_h, source_w = rgb_HWC.shape[:2]
    cover_w, cover_h = cover_size(source_w, source_h, width, height)
    face = find(rgb_HWC) if (cover_w, cover_h) != (width, height) else None
    scale_h = cover_h / source_h
    across, down = _head_spans(face, cover_w / source_w, scale_h)
    chin = (face.top + (1 + _UNDER_CHIN) * face.height) * scale_h if face else None
    left, top = crop_offset(cover_w, width, across), crop_offset(cover_h, height, down, chin)
    return _resized(rgb_HWC, cover_w, cover_h)[top : top + height, left : left + width].copy()


def _head_spans(
    face: FaceBox | None, scale_w: float, scale_h: float
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """(first, last) of the head across and down, in the resized picture's pixels."""
    if face is None:
        return None, None
    left, right = face.left - _HEAD_BESIDE * face.width, face.left + (1 + _HEAD_BESIDE) * face.width
    top, bottom = face.top - _HEAD_ABOVE * face.height, face.top + (1 + _HEAD_BELOW) * face.height
    return (left * scale_w, right * scale_w), (top * scale_h, bottom * scale_h)


def _contain(rgb_HWC: np.ndarray, width: int, height: int) -> np.ndarray:
    source_h, source_w = rgb_HWC.shape[:2]
    scale = min(height / source_h, width / source_w)
    inner_w, inner_h = (min(max(1, round(scale * a)), b) for a, b in ((source_w, width), (source_h, height)))
    inner_HWC = _resized(rgb_HWC, inner_w, inner_h)
    touched = inner_HWC[:, [0, -1]] if inner_w < width else inner_HWC[[0, -1]]
    canvas_HWC = np.empty((height, width, 3), np.uint8)
    canvas_HWC[:] = np.round(touched.reshape(-1, 3).mean(axis=0))
    top, left = (height - inner_h) // 2, (width - inner_w) // 2
    canvas_HWC[top : top + inner_h, left : left + inner_w] = inner_HWC
    return canvas_HWC


def _resized(rgb_HWC: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb_HWC)).resize((width, height), RESIZE_FILTER))
