"""What says that a machine made a film: visible words in a corner of each frame, put there by the app before frames are
encoded, and tags in the file, written by all of our muxers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LABEL = "AI-generated"
ABOUT = {"title": "FlashTalk", "comment": LABEL, "description": f"{LABEL}: a machine made this film."}
"""Tags of every finished mp4, as players and searches read them."""
_HEIGHT_PART = 26
"""The letters are a 26th of the frame's shorter side, and never below `_LEAST_PX`."""
_LEAST_PX = 9
_BACKGROUND, _INK = 0.42, 0.95


def label_frames(frames_FHWC: np.ndarray) -> np.ndarray:
    """A copy of uint8 RGB frames with the label in the lower left corner."""
    _, height, width, _ = frames_FHWC.shape
    ink_HW, box_HW = _badge(_letter_px(height, width))
    rows, columns = ink_HW.shape
    margin = max(4, rows // 3)
    if rows + margin > height or columns + margin > width:
        return frames_FHWC
    labelled = frames_FHWC.copy()
    corner = labelled[:, height - margin - rows : height - margin, margin : margin + columns]
    shaded = corner * (1 - _BACKGROUND * box_HW[..., None])
    corner[...] = (shaded + (255 * _INK - shaded) * ink_HW[..., None]).astype(np.uint8)
    return labelled


def _letter_px(height: int, width: int) -> int:
    return max(_LEAST_PX, min(height, width) // _HEIGHT_PART)


@lru_cache(maxsize=8)
def _badge(letter_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Coverage 0..1 of the letters and of the round box behind them, each [H, W]."""
    font = ImageFont.load_default(letter_px)
    left, top, right, bottom = font.getbbox(LABEL)
    pad_x, pad_y = round(letter_px * 0.6), round(letter_px * 0.4)
    size = (round(right - left) + 2 * pad_x, round(bottom - top) + 2 * pad_y)
    ink, box = Image.new("L", size), Image.new("L", size)
    ImageDraw.Draw(ink).text((pad_x - left, pad_y - top), LABEL, fill=255, font=font)
    ImageDraw.Draw(box).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=size[1] // 2, fill=255)
    return np.asarray(ink, np.float32) / 255, np.asarray(box, np.float32) / 255
