"""Finds a face in a portrait with OpenCV's own detectors, if OpenCV is there. Called by media/fit.py and the app.

The detectors are the Haar cascades inside OpenCV's wheel: no weights to fetch, the same answer every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

_SEARCH_SIDES_PX = (144, 640)
"""The longer side is brought down to each of these: small hides detail that distracts, large keeps small faces."""
_FRONTAL, _FRONTAL_EAGER, _PROFILE = "frontalface_alt2", "frontalface_default", "profileface"


@dataclass(frozen=True)
class FaceBox:
    """The largest face, brows to chin, in pixels of the picture searched; `count` faces were found in all."""

    left: int
    top: int
    width: int
    height: int
    count: int = 1


def can_find_faces() -> bool:
    """Whether OpenCV (with cascades) is installed; where it is not, `find_face` finds none in any picture."""
    return _opencv() is not None


def find_face(rgb_HWC: np.ndarray) -> FaceBox | None:
    """The largest face of a uint8 RGB picture; None if there is none, or no OpenCV (with cascades) is installed."""
    cv2 = _opencv()
    if cv2 is None:
        return None
    rgb_HWC = np.ascontiguousarray(rgb_HWC)
    detectors = _Detectors(cv2)
    rounds = [_faces_at(detectors, rgb_HWC, side_px) for side_px in _SEARCH_SIDES_PX]
    boxes = sorted(box for found in rounds for box in found)
    if not boxes:
        return None
    left, top, width, height = max(boxes, key=lambda box: box[2])
    return FaceBox(left, top, width, height, max(map(len, rounds)))


class _Detectors:
    """Those of one search, each read when it is needed (some 10 ms): threads must not share them."""

    def __init__(self, cv2: ModuleType) -> None:
        self.cv2 = cv2
        self._read: dict[str, Any] = {}

    def detect(self, name: str, grey_HW: np.ndarray) -> list[tuple[int, ...]]:
        """Boxes (left, top, width, height) by one cascade."""
        if name not in self._read:
            path = Path(self.cv2.data.haarcascades) / f"haarcascade_{name}.xml"
            self._read[name] = self.cv2.CascadeClassifier(str(path))
        smallest = max(24, min(grey_HW.shape) // 10)
        boxes = self._read[name].detectMultiScale(
            grey_HW, scaleFactor=1.1, minNeighbors=3, minSize=(smallest, smallest)
        )
        return [tuple(int(value) for value in box) for box in boxes]


def _faces_at(detectors: _Detectors, rgb_HWC: np.ndarray, side_px: int) -> list[tuple[int, ...]]:
    """Boxes in the picture's own pixels, searched with the longer side at `side_px`."""
    scale = min(1.0, side_px / max(rgb_HWC.shape[:2]))
    grey_HW = _small_grey(detectors.cv2, rgb_HWC, scale)
    return [tuple(round(value / scale) for value in box) for box in _search(detectors, grey_HW)]


def _small_grey(cv2: ModuleType, rgb_HWC: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in rgb_HWC.shape[:2])
    return cv2.cvtColor(cv2.resize(rgb_HWC, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)


def _search(detectors: _Detectors, grey_HW: np.ndarray) -> list[tuple[int, ...]]:
    """What the first of these finds, strictest first: dark, pale and drawn faces lack contrast, so need the others."""
    brightened_HW = np.round(255 * np.sqrt(grey_HW / 255)).astype(np.uint8)
    detect, even = detectors.detect, detectors.cv2.createCLAHE(clipLimit=4.0, tileGridSize=(4, 4))
    tries = (
        lambda: detect(_FRONTAL, grey_HW),
        lambda: detect(_FRONTAL, even.apply(grey_HW)),
        lambda: detect(_FRONTAL, brightened_HW),
        lambda: detect(_FRONTAL_EAGER, grey_HW),
        lambda: detect(_PROFILE, grey_HW),
        lambda: _mirrored(detect(_PROFILE, np.ascontiguousarray(grey_HW[:, ::-1])), grey_HW.shape[1]),
    )
    return next(filter(None, (search() for search in tries)), [])


def _mirrored(boxes: list[tuple[int, ...]], width: int) -> list[tuple[int, ...]]:
    return [(width - left - box_width, top, box_width, height) for left, top, box_width, height in boxes]


def _opencv() -> ModuleType | None:
    """OpenCV 4 with its cascades, or None: servers without a display often lack it, and version 5 moved them away."""
    try:
        import cv2  # noqa: PLC0415
    except ImportError:
        return None
    return cv2 if hasattr(cv2, "CascadeClassifier") and hasattr(cv2, "data") else None
