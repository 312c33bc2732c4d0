import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashtalk.errors import ConfigError, InputError
from flashtalk.media.face import FaceBox
from train.buckets import Bucket, fit_frames, make_buckets, nearest, place

BUCKETS = make_buckets(1352)


def test_buckets_of_14b_hold_the_served_size_and_stay_in_budget():
    assert Bucket(768, 448) in BUCKETS
    assert Bucket(448, 768) in BUCKETS
    assert Bucket(416, 832) in BUCKETS
    for bucket in BUCKETS:
        assert bucket.height % 32 == bucket.width % 32 == 0
        assert 0.9 * 1352 <= bucket.tokens(16) <= 1352
        assert Bucket(bucket.width, bucket.height) in BUCKETS
    assert len(BUCKETS) <= 16


@settings(max_examples=50)
@given(st.integers(40, 4000))
def test_any_budget_gives_legal_buckets_or_an_error(most_tokens):
    try:
        buckets = make_buckets(most_tokens)
    except ConfigError:
        return
    assert all(0.5 <= bucket.aspect <= 2 and bucket.tokens(16) <= most_tokens for bucket in buckets)


def test_nearest_by_shape():
    assert nearest(BUCKETS, 1920, 1080) == min(BUCKETS, key=lambda b: abs(np.log(b.aspect / (1080 / 1920))))
    assert nearest(BUCKETS, 1000, 1000).aspect == pytest.approx(1, abs=0.12)
    for bucket in BUCKETS:
        assert nearest(BUCKETS, 3 * bucket.height, 3 * bucket.width) == bucket


@settings(max_examples=200, deadline=None)
@given(
    st.integers(300, 2200),
    st.integers(300, 2200),
    st.floats(0, 0.8),
    st.floats(0, 0.8),
    st.floats(0.05, 0.2),
    st.booleans(),
)
def test_a_placement_keeps_area_and_face_or_tells_why_not(height, width, down, across, size, with_face):
    side = int(size * min(height, width))
    face = FaceBox(int(across * width), int(down * height), side, side) if with_face else None
    try:
        placed = place(BUCKETS, height, width, face)
    except InputError:
        return
    bucket = placed.bucket
    assert 0 <= placed.top <= placed.height - bucket.height
    assert 0 <= placed.left <= placed.width - bucket.width
    assert bucket.height * bucket.width >= 0.8 * placed.height * placed.width
    assert placed.height <= 1.5 * height + 1
    assert placed.height / height == pytest.approx(placed.width / width, rel=0.01)
    if face:
        scale = placed.height / height
        assert face.left * scale >= placed.left - 2
        assert (face.left + side) * scale <= placed.left + bucket.width + 2
        assert face.top * scale >= placed.top - 2
        assert (face.top + side) * scale <= placed.top + bucket.height + 2


@pytest.mark.parametrize(
    ("height", "width", "code"),
    [(400, 2000, "bucket_loss"), (200, 200, "bucket_upscale"), (240, 430, "bucket_upscale")],
)
def test_clips_that_fit_nowhere(height, width, code):
    with pytest.raises(InputError) as error:
        place(BUCKETS, height, width)
    assert error.value.code == code


def test_the_crop_follows_the_face():
    few = (Bucket(512, 512),)
    left, right = (place(few, 600, 720, FaceBox(x, 200, 150, 150)).left for x in (0, 560))
    assert left == 0
    assert right == 720 * 512 // 600 + 1 - 512 or right > 80
    with pytest.raises(InputError) as error:
        place(few, 600, 720, FaceBox(10, 100, 700, 300))
    assert error.value.code == "bucket_face"


def test_frames_keep_their_place_and_colour():
    few, frames = (Bucket(64, 64),), np.zeros((2, 128, 160, 3), np.uint8)
    frames[:, :, 80:] = (200, 100, 50)
    fitted = fit_frames(frames, place(few, 128, 160))
    assert fitted.shape == (2, 64, 64, 3)
    assert (fitted[:, :, :30] == 0).all()
    assert (fitted[:, :, 34:] == (200, 100, 50)).all()
