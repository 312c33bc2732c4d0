"""What the page says of a chosen picture: no face, several faces, or nothing; and nothing where nobody can look."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from flashtalk.media import face
from flashtalk.ui import faces
from flashtalk.ui.texts import Texts
from tests.media.corpus_image import draw_face
from tests.ui.page_kit import FACE, busy_page

pytest.importorskip("cv2")

TEXTS = Texts(faces.TEXTS)
NOTHING = np.full((300, 300, 3), 200, np.uint8)


def two_faces() -> np.ndarray:
    picture = draw_face(640, 320, (150, 150), 120)
    picture[60:260, 400:560] = draw_face(160, 200, (80, 90), 70)
    return picture


def test_no_face_and_several_are_said_in_both_languages_and_one_is_not() -> None:
    assert "No face was found" in faces.hint(TEXTS, NOTHING)
    assert "未找到人脸" in faces.hint(TEXTS, NOTHING)
    assert "2 faces were found" in faces.hint(TEXTS, two_faces())
    assert "找到 2 张人脸" in faces.hint(TEXTS, two_faces())
    for picture in (draw_face(400, 300, (260, 140), 110), None):
        assert faces.hint(TEXTS, picture) == '<p class="ft-faces" role="status"></p>'


def test_where_nobody_can_look_nothing_is_claimed() -> None:
    with mock.patch.object(face, "_opencv", return_value=None):
        assert "No face" not in faces.hint(TEXTS, NOTHING)


def test_each_chooser_says_it_as_soon_as_a_picture_is_there(tmp_path: Path) -> None:
    """And it goes when the picture goes, is one of ours, or cannot be opened."""
    Image.fromarray(NOTHING).save(tmp_path / "wall.png")
    (tmp_path / "letter.png").write_bytes(b"Dear")
    with busy_page(tmp_path) as page, page.visitor() as visitor:
        for chooser in ("ft-face", "ft-compare-face", "ft-long-face"):
            look = page.function(chooser)
            assert "No face was found" in visitor.call(look, [visitor.bring(tmp_path / "wall.png")])
            for other in (None, visitor.bring(FACE), visitor.bring(tmp_path / "letter.png")):
                said = visitor.call(look, [other])
                assert "ft-faces" in said
                assert "No face" not in said
        live = visitor.call(page.function("ft-live-upload"), [visitor.bring(tmp_path / "wall.png")])
        assert "data-portrait" in live
        assert "No face was found" in live
