"""Laws of picture input: upright once, nothing hidden shows, colours by profile, refused by header, always fitted."""

from __future__ import annotations

import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from flashtalk.errors import InputError
from flashtalk.media.face import FaceBox
from flashtalk.media.image import cover_size, crop_offset, fit_portrait, open_portrait, size_for, snap_size
from flashtalk.media.limits import IMAGE_LIMITS
from tests.media.corpus import cases
from tests.media.corpus_image import HIDDEN, chunk, flat_png, half_clear, sketch, swapped_profile

FILES = {case.name: case for case in cases(mutations=0)}


def corpus_file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(FILES[name].make())
    return path


def opened(folder: Path, name: str) -> np.ndarray:
    return open_portrait(corpus_file(folder, name)).astype(int)


def code_of(source: object, **limits: object) -> str:
    with pytest.raises(InputError) as caught:
        open_portrait(source, replace(IMAGE_LIMITS, **limits))
    return caught.value.code


def nobody(_rgb: np.ndarray) -> None:
    """A detector that sees no face."""


@pytest.mark.parametrize(
    "name", [f"exif_{n}.jpg" for n in (1, 2, 3, 4, 5, 6, 7, 8, 99)] + ["exif_6.png", "exif_6.webp"]
)
def test_every_exif_turn_shows_the_same_picture(name: str, tmp_path: Path) -> None:
    upright = np.asarray(sketch()).astype(int)
    assert np.abs(opened(tmp_path, name) - upright).mean() < 5


def test_exif_turns_pil_pictures_too(tmp_path: Path) -> None:
    with Image.open(corpus_file(tmp_path, "exif_6.png")) as image:
        assert np.array_equal(open_portrait(image), np.asarray(sketch()))


@pytest.mark.parametrize("name", ["grey_alpha.png", "lossless_alpha.webp", "icc_swapped_alpha.png", "rgba.png"])
def test_what_is_clear_shows_grey(name: str, tmp_path: Path) -> None:
    pixels = opened(tmp_path, name)
    assert (pixels[:, 17:] == 128).all()
    assert pixels[4, 5].tolist() != [128, 128, 128]


@pytest.mark.parametrize("name", ["rgba.png", "palette_clear.png", "rgb_key.png", "grey16_key.png", "rgba16.png"])
def test_a_hidden_colour_is_invisible(name: str, tmp_path: Path) -> None:
    pixels = opened(tmp_path, name)
    assert not (pixels == HIDDEN).all(axis=-1).any()
    assert (pixels[:, 17:] == 128).all()


def test_half_clear_pixels_are_mixed() -> None:
    pixels = np.full((20, 20, 4), (200, 0, 0, 128), np.uint8)
    assert open_portrait(pixels)[0, 0].tolist() == pytest.approx([164, 64, 64], abs=1)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    assert set(opened(tmp_path, "grey16.png").ravel()) <= {155, 156}
    assert opened(tmp_path, "rgb16.png")[3, 3].tolist() in ([155, 0, 255], [156, 0, 255])
    assert open_portrait(np.full((20, 20), 40000, np.uint16))[0, 0, 0] in (155, 156)


@pytest.mark.parametrize("name", ["icc_swapped.png", "icc_swapped.jpg"])
def test_colours_follow_the_profile(name: str, tmp_path: Path) -> None:
    """The profile's red is sRGB's green."""
    pixels = opened(tmp_path, name)
    assert np.abs(pixels[4, 5] - [0, 255, 0]).max() <= 12
    assert np.abs(pixels[20, 5] - [0, 0, 255]).max() <= 12


def test_inks_follow_their_profile(tmp_path: Path) -> None:
    """The profile knows grey only."""
    pixels = opened(tmp_path, "icc_cmyk.jpg")
    assert (pixels.max(axis=-1) - pixels.min(axis=-1)).max() <= 6
    assert pixels.std() > 20


@pytest.mark.parametrize(
    "name",
    ["icc_srgb.png", "icc_for_cmyk_in_rgb.jpg", "icc_broken.jpg", "icc_for_rgb_in_cmyk.jpg", "cmyk.jpg", "several.jpg"],
)
def test_colours_stay_without_a_profile_that_fits(name: str, tmp_path: Path) -> None:
    assert np.abs(opened(tmp_path, name) - np.asarray(sketch()).astype(int)).mean() < 6


def test_lab_pictures_are_converted() -> None:
    lab = ImageCms.profileToProfile(
        sketch(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    difference = np.abs(open_portrait(lab).astype(int) - np.asarray(sketch()))
    assert difference.mean() < 2


@pytest.mark.parametrize("name", ["animated.png", "animated.webp"])
def test_the_first_frame_is_taken(name: str, tmp_path: Path) -> None:
    assert np.array_equal(opened(tmp_path, name), np.asarray(sketch()))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 1), (20, 24, 2), (20, 24, 3), (20, 24, 4)])
def test_arrays_of_all_kinds_are_pictures(dtype: type, shape: tuple[int, ...]) -> None:
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    white = open_portrait(np.full(shape, top, dtype)[::-1])
    assert white.shape == (20, 24, 3)
    assert (white == 255).all()


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros(20, np.uint8), "image_format"),
        (np.zeros((20, 20, 5), np.uint8), "image_format"),
        (np.zeros((1, 20, 20, 3), np.uint8), "image_format"),
        (np.zeros((20, 20), np.int64), "image_format"),
        (np.zeros((20, 20), bool), "image_format"),
        (np.full((20, 20), 200.0), "image_format"),
        (np.full((20, 20), np.nan), "image_format"),
        (np.zeros((15, 20), np.uint8), "image_limits"),
        (np.zeros((0, 0, 3), np.uint8), "image_limits"),
        (np.zeros((20, 8200), np.uint8), "image_limits"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, code: str) -> None:
    assert code_of(array) == code


def test_pil_pictures_are_taken_and_left_alone() -> None:
    image = half_clear()
    before = image.tobytes()
    assert (open_portrait(image)[:, 16:] == 128).all()
    assert image.tobytes() == before
    assert image.mode == "RGBA"


def test_only_regular_local_files_are_opened(tmp_path: Path) -> None:
    for path in ("https://example.org/a.png", "", "a\0b", tmp_path, tmp_path / "missing.png", "/dev/zero"):
        assert code_of(path) == "image_unreadable"


def test_bytes_are_counted_before_reading(tmp_path: Path) -> None:
    assert code_of(corpus_file(tmp_path, "rgb.png"), max_bytes=100) == "image_limits"


MEASURE = """
import resource, sys, time
from flashtalk.errors import InputError
from flashtalk.media.image import ImageLimits, open_portrait
for path in sys.argv[1:]:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        open_portrait(path, ImageLimits(patience_s=60))
        outcome = "ok"
    except InputError as error:
        outcome = error.code
    print(outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.monotonic() - start)
"""


def measured(*paths: Path) -> list[tuple[str, int, float]]:
    """Outcome, growth in KiB and seconds of opening each, in a process of its own."""
    run = subprocess.run([sys.executable, "-c", MEASURE, *map(str, paths)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in run.stdout.splitlines()]
    return [(outcome, int(grown_kib), float(took_s)) for outcome, grown_kib, took_s in rows]


def test_bombs_are_refused_on_the_header(tmp_path: Path) -> None:
    names = ("bits_13200.png", "huge.png", "huge.bmp", "huge.jpg", "huge.webp", "text_bomb.png", "profile_bomb.png")
    rows = measured(*(corpus_file(tmp_path, name) for name in names))
    for name, (outcome, grown_kib, took_s) in zip(names, rows, strict=True):
        assert outcome in ("image_limits", "image_unreadable"), name
        assert grown_kib < 40_000, name
        assert took_s < 3, name


def test_the_largest_picture_allowed_leaves_room_in_a_gigabyte(tmp_path: Path) -> None:
    side = int(IMAGE_LIMITS.max_pixels**0.5)
    profile = chunk(b"iCCP", b"k\0\0" + zlib.compress(swapped_profile()))
    largest = tmp_path / "largest.png", tmp_path / "largest.webp"
    largest[0].write_bytes(flat_png(side, 8, 6, b"\1\2\3\4", profile))
    Image.new("RGBA", (side, side), "teal").save(largest[1], quality=50, method=0)
    for outcome, grown_kib, _ in measured(*largest):
        assert outcome == "ok"
        assert grown_kib < 800_000


def test_pictures_of_telephones_are_taken_and_halved(tmp_path: Path) -> None:
    """48 million pixels, on their side; what may be whole stays whole."""
    rows, columns = np.ogrid[:6048, :8064]
    seen = np.broadcast_to(((rows // 24 + columns // 32) % 256).astype(np.uint8)[..., None], (6048, 8064, 3))
    path, turn = tmp_path / "48.jpg", Image.Exif()
    turn[274] = 6
    Image.fromarray(np.ascontiguousarray(seen)).save(path, quality=95, exif=turn)
    opened_HWC = open_portrait(path)
    wanted_HWC = seen[::2, ::2].swapaxes(0, 1)[:, ::-1]
    assert opened_HWC.shape == (4032, 3024, 3)
    assert np.abs(opened_HWC[::16, ::16].astype(int) - wanted_HWC[::16, ::16]).mean() < 1.5
    assert open_portrait(np.zeros((5000, 5000), np.uint8)).shape == (5000, 5000, 3)
    assert open_portrait(np.zeros((5001, 5001), np.uint8)).shape == (2501, 2501, 3)
    assert code_of(np.zeros((7200, 7100), np.uint8)) == "image_limits"


# Fitting.

SIDES = st.integers(1, 200)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(16, 160), st.integers(16, 160), SIDES, SIDES, st.sampled_from(["cover", "contain"]), st.integers(0, 9)
)
def test_any_picture_fits_any_size(source_w: int, source_h: int, width: int, height: int, fit: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    head = FaceBox(*(int(v) for v in rng.integers(-50, 200, 2)), *(int(v) for v in rng.integers(1, 300, 2)))
    picture = rng.integers(0, 256, (source_h, source_w, 3), dtype=np.uint8)
    fitted = fit_portrait(picture, width, height, fit, find=lambda _: head)
    assert fitted.shape == (height, width, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous


@given(SIDES, SIDES, SIDES, SIDES)
def test_cover_is_as_small_as_covers(source_w: int, source_h: int, width: int, height: int) -> None:
    cover_w, cover_h = cover_size(source_w, source_h, width, height)
    assert cover_w >= width
    assert cover_h >= height
    scale = max(width / source_w, height / source_h)
    assert cover_w <= scale * source_w + 1 + 1e-6
    assert cover_h <= scale * source_h + 1 + 1e-6


def test_cover_rounds_up_as_published() -> None:
    assert cover_size(1000, 1005, 64, 64) == (64, 65)
    assert cover_size(1005, 1000, 64, 64) == (65, 64)
    assert cover_size(72, 88, 64, 64) == (64, 79)


def test_cover_without_a_face_takes_the_middle() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (88, 72, 3), dtype=np.uint8)
    assert np.array_equal(fit_portrait(picture, 72, 64, find=nobody), picture[12:76])
    assert np.array_equal(fit_portrait(picture, 64, 88, find=nobody), picture[:, 4:68])


@pytest.mark.parametrize(
    ("head", "offset"),
    [
        (None, 50),
        ((60, 140), 50),
        ((10, 40), 10),
        ((160, 190), 90),
        ((-30, 20), 0),
        ((190, 260), 100),
        ((20, 160), 40),
        ((-500, 900), 100),
    ],
)
def test_the_window_moves_as_little_as_shows_the_head(head: tuple[float, float] | None, offset: int) -> None:
    assert crop_offset(200, 100, head) == offset


def test_a_head_that_is_too_tall_keeps_its_mouth() -> None:
    picture_HWC = np.zeros((400, 400, 3), np.uint8)
    picture_HWC[300:320] = 255  # the mouth, a row of white
    face = FaceBox(100, 120, 200, 220, 1)
    fitted_HWC = fit_portrait(picture_HWC, 400, 200, "cover", find=lambda _: face)
    rows = np.flatnonzero(fitted_HWC.max(axis=(1, 2)) == 255)
    assert len(rows) == 20
    assert rows.max() < 200 - 20, "with room for the chin"


@given(st.integers(1, 300), st.integers(0, 300), st.floats(-100, 400), st.floats(0, 200))
def test_the_window_stays_inside_and_holds_the_head(window: int, more: int, first: float, size: float) -> None:
    length, last = window + more, first + size
    offset = crop_offset(length, window, (first, last))
    assert 0 <= offset <= more
    if size <= window - 1 and first >= 0 and last <= length:
        assert offset - 0.5 <= first
        assert last <= offset + window + 0.5


def test_contain_keeps_everything_and_pads_in_the_edges_colour() -> None:
    picture = np.full((20, 40, 3), (10, 200, 30), np.uint8)
    picture[5:15, 10:30] = 255
    fitted = fit_portrait(picture, 40, 40, "contain")
    assert np.array_equal(fitted[10:30], picture)
    assert (fitted[:10] == (10, 200, 30)).all()
    assert (fitted[30:] == (10, 200, 30)).all()


def test_an_equal_size_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    for fit in ("cover", "contain"):
        assert np.array_equal(fit_portrait(picture, 48, 32, fit), picture)


@given(st.integers(-10, 5000), st.integers(-10, 5000), st.sampled_from([1, 8, 16, 32]), st.sampled_from([1, 8, 16, 32]))
def test_snapped_sizes_are_legal_and_near(width: int, height: int, multiple_w: int, multiple_h: int) -> None:
    snapped = snap_size(width, height, multiple_w, multiple_h)
    for value, wanted, multiple in zip(snapped, (width, height), (multiple_w, multiple_h), strict=True):
        assert value > 0
        assert value % multiple == 0
        assert abs(value - wanted) <= multiple / 2 or value == multiple
    assert snap_size(*snapped, multiple_w, multiple_h) == snapped


@given(st.integers(16, 300), st.integers(16, 300), st.integers(1, 1_000_000))
def test_size_for_keeps_aspect_and_area(width: int, height: int, area_px: int) -> None:
    got_w, got_h = size_for(np.empty((height, width, 3), np.uint8), area_px, 16, 16)
    assert got_w % 16 == 0
    assert got_h % 16 == 0
    if area_px >= 100_000 and max(width, height) < 2 * min(width, height):
        assert got_w * got_h == pytest.approx(area_px, rel=0.12)
        assert got_w / got_h == pytest.approx(width / height, rel=0.12)
