"""Faces drawn by code are found, the crop keeps them whole, and without OpenCV everything still works."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from flashtalk.media.face import FaceBox, find_face
from flashtalk.media.image import fit_portrait
from tests.media.corpus_image import draw_face

cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize("skin", ["#f4d8c8", "#e0b090", "#a06840", "#5a3420"])
def test_a_drawn_face_is_found(skin: str) -> None:
    box = find_face(draw_face(400, 300, (260, 140), 110, skin))
    assert box is not None
    assert abs(box.left + box.width / 2 - 260) < 30
    assert abs(box.top + box.height / 2 - 140) < 45
    assert 50 < box.width < 200
    assert box.count == 1


def test_the_largest_of_two_faces_is_chosen_and_both_are_counted() -> None:
    picture = draw_face(640, 320, (150, 150), 120)
    picture[60:260, 400:560] = draw_face(160, 200, (80, 90), 70)
    box = find_face(picture)
    assert box is not None
    assert abs(box.left + box.width / 2 - 150) < 40
    assert box.count == 2


def test_the_same_picture_gives_the_same_box() -> None:
    picture = draw_face(400, 300, (260, 140), 110)
    wanted = find_face(picture)
    assert wanted == find_face(picture.copy())
    assert wanted == find_face(np.ascontiguousarray(picture[:, ::-1])[:, ::-1])


@pytest.mark.parametrize(
    "picture", [np.zeros((64, 64, 3), np.uint8), np.full((16, 160, 3), 200, np.uint8), np.ones((1, 1, 3), np.uint8)]
)
def test_flat_pictures_hold_no_face(picture: np.ndarray) -> None:
    assert find_face(picture) is None


@pytest.mark.parametrize("centre_x", [110, 300, 490])
def test_cover_keeps_the_head_whole(centre_x: int) -> None:
    """The head stands at the side of a wide picture; cut to a square, it is still all there."""
    picture = draw_face(600, 300, (centre_x, 150), 100)
    fitted = fit_portrait(picture, 128, 128)
    box = find_face(fitted)
    assert box is not None
    assert box.left - 0.15 * box.width >= 0
    assert box.left + 1.15 * box.width <= 128


def test_a_tall_picture_keeps_hair_and_chin() -> None:
    high, low = (draw_face(300, 700, (150, y), 100) for y in (130, 560))
    for picture in (high, low):
        box = find_face(fit_portrait(picture, 128, 128))
        assert box is not None
        assert box.top - 0.2 * box.height >= 0
        assert box.top + 1.1 * box.height <= 128


def test_each_detector_is_read_once_for_a_picture_without_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    read, make = [], cv2.CascadeClassifier
    monkeypatch.setattr(cv2, "CascadeClassifier", lambda path: read.append(path) or make(path))
    assert find_face(np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8)) is None
    assert len(read) == len(set(read)) == 3


def test_without_opencv_nobody_is_seen_and_the_middle_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = draw_face(600, 300, (110, 150), 100)
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert find_face(picture) is None
    assert np.array_equal(fit_portrait(picture, 300, 300), picture[:, 150:450])


def test_an_opencv_without_cascades_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", type(sys)("cv2"))
    assert find_face(draw_face(400, 300, (260, 140), 110)) is None


def test_detection_may_be_replaced() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 60, 3), dtype=np.uint8)
    right = fit_portrait(picture, 20, 20, find=lambda _: FaceBox(48, 5, 6, 6))
    assert np.array_equal(right, picture[:, 36:56])
