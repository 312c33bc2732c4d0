"""What is gently said of a chosen picture before a film is made of it: that no face was found in it, or several.

Nothing is refused: drawn faces and animals may be missed, and talk all the same. Used by ui/pickers.py and ui/tabs.
"""

from __future__ import annotations

import gradio as gr
import numpy as np

from flashtalk.media.face import can_find_faces, find_face
from flashtalk.ui.texts import Pair, Texts

TEXTS: dict[str, Pair] = {
    "faces.none": (
        "No face was found; the middle of the picture will be used.",
        "未找到人脸，将使用图片的中间部分。",
    ),
    "faces.many": ("{count} faces were found; the largest will speak.", "找到 {count} 张人脸，将由最大的一张说话。"),
}


def build_hint() -> gr.HTML:
    """Where the sentence stands: over the lower edge of the picture built just before, so that nothing moves for it."""
    return gr.HTML(_line(""), apply_default_css=False, elem_classes="ft-faces-place")


def hint(texts: Texts, portrait_HWC: np.ndarray | None) -> str:
    """For `build_hint`'s component: of a uint8 RGB picture [H, W, 3], or of none. Takes up to half a second."""
    if portrait_HWC is None or not can_find_faces():
        return _line("")
    face = find_face(portrait_HWC)
    if face is None:
        return _line(texts.html("faces.none"))
    return _line(texts.html("faces.many", count=face.count) if face.count > 1 else "")


def _line(words: str) -> str:
    return f'<p class="ft-faces" role="status">{words}</p>'
