"""Pictures in: any usual file, PIL picture or array becomes uint8 RGB. Called by the command line, the app and serving.

InputError codes: `image_unreadable` (no local file, empty, damaged), `image_format` (kind of file or array not
supported), `image_limits` (bytes, pixels, sides, aspect).
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
from PIL import BmpImagePlugin, ExifTags, Image, ImageCms, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from flashtalk.errors import InputError
from flashtalk.media.files import TimedFile, match_signature, open_local, shown_name
from flashtalk.media.fit import cover_size, crop_offset, fit_portrait, size_for, snap_size
from flashtalk.media.limits import IMAGE_LIMITS, ImageLimits

__all__ = ["cover_size", "crop_offset", "fit_portrait", "open_portrait", "size_for", "snap_size"]

GREY = 128
"""What lies behind transparent pixels."""

_BLOCK_BYTES = 1024
"""Fed to a decoder at a time: a hostile JPEG costs seconds for each KB, and TimedFile can stop between blocks only."""

_READERS = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"RIFF....WEBP", WebPImagePlugin.WebPImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)
_REFUSED = (
    *((b"GIF8", "GIF"), (b"%!PS", "EPS"), (b"\xc5\xd0\xd3\xc6", "EPS"), (b"%PDF", "PDF"), (b"8BPS", "PSD")),
    *((b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"), (b"\0\0\1\0", "ICO")),
    *((b"....ftypavif", "AVIF"), (b"....ftypavis", "AVIF"), (b"....ftyphei", "HEIC"), (b"....ftyphev", "HEIC")),
    *(
        (b"....ftypmif1", "HEIC"),
        (b"....ftypmsf1", "HEIC"),
        (b"<svg", "SVG"),
        (b"<?xml", "SVG"),
        (b"....ftyp", "video"),
    ),
    *((b"\0\0\0\x0cjP", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"\0\0\0\x0cJXL", "JPEG XL")),
    *((b"\xff\x0a", "JPEG XL"), (b"\x1aE\xdf\xa3", "video")),
)

_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
"""EXIF orientation -> what brings the picture upright: swap rows with columns, then reverse rows, reverse columns."""

_STRIP_ROWS = 256
"""Colours are converted strip by strip, so that the largest picture takes some 300 MB and not twice that."""

_WHOLE_PIXELS = 25_000_000
"""Larger pictures (telephones make them) are halved: no film shows so much, and whoever keeps them needs the room."""

_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of an ICC profile -> the mode whose numbers it explains."""


def open_portrait(
    source: str | Path | BinaryIO | np.ndarray | Image.Image, limits: ImageLimits = IMAGE_LIMITS
) -> np.ndarray:
    """Any usual picture as uint8 RGB [H, W, 3], upright, in sRGB, on neutral grey where it was transparent.

    source: a local PNG, JPEG, WebP or BMP file (of an animation the first frame), by name or open, a PIL
    picture, or an array [H, W] or [H, W, 1 to 4], uint8, uint16 or float in 0..1. Nothing but the pixels is kept;
    more than 25 million of them are halved both ways.
    InputError: see the file's top.
    """
    if isinstance(source, np.ndarray):
        return _flat_rgb(_from_array(source, limits))
    if isinstance(source, Image.Image):
        _check_size(source.size, "the picture", limits)
        return _decoded(source, "the picture")
    with open_local(source, "image", limits.max_bytes) as file:
        name = shown_name(source)
        timed = TimedFile(file, limits.patience_s)
        try:
            image = _opened(timed, name)
            _check_size(image.size, name, limits)
            return _decoded(image, name)
        except InputError:
            timed.check(name, "image")
            raise


def _opened(file: TimedFile, name: str) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    # Readers are chosen here and not by Image.open, whose own size limit is a warning, looser than ours.
    head = file.read(32)
    file.seek(0)
    reader = match_signature(head, _READERS)
    if reader is None:
        raise _unknown_kind(head, name)
    try:
        return reader(cast(IO[bytes], file))
    except Exception:  # a decoder of damaged bytes may raise anything
        raise _unreadable(name) from None


def _decoded(image: Image.Image, name: str) -> np.ndarray:
    try:
        if isinstance(image, ImageFile.ImageFile):
            image.decodermaxblock = _BLOCK_BYTES
        return _upright(_flat_rgb(image), image)
    except Exception:  # a decoder of damaged bytes may raise anything
        raise _unreadable(name) from None


def _upright(rgb_HWC: np.ndarray, image: Image.Image) -> np.ndarray:
    """Turned as `image`'s EXIF block says."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged EXIF block says nothing, but the picture may be sound
        return rgb_HWC
    if turn is None:
        return rgb_HWC
    swap, rows, columns = turn
    turned_HWC = rgb_HWC.swapaxes(0, 1) if swap else rgb_HWC
    return np.ascontiguousarray(turned_HWC[:: -1 if rows else 1, :: -1 if columns else 1])


def _flat_rgb(image: Image.Image) -> np.ndarray:
    """Colours to sRGB, transparency onto grey; half as wide and high if it is very large."""
    shrink = 2 if image.width * image.height > _WHOLE_PIXELS else 1
    rgb_HWC = np.empty((-(-image.height // shrink), -(-image.width // shrink), 3), np.uint8)
    for top in range(0, image.height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, image.height)
        strip = _flat_strip(image.crop((0, top, image.width, bottom))).reduce(shrink)
        rgb_HWC[top // shrink : top // shrink + strip.height] = np.asarray(strip)
    return rgb_HWC


def _flat_strip(image: Image.Image) -> Image.Image:
    image = _eight_bit(image)
    if not image.has_transparency_data:
        return _to_srgb(image)
    rgba = image.convert("RGBA")
    rgba.info = image.info
    flat = Image.new("RGB", rgba.size, (GREY, GREY, GREY))
    flat.paste(_to_srgb(_without_alpha(rgba)), mask=rgba.getchannel("A"))
    return flat


def _without_alpha(rgba: Image.Image) -> Image.Image:
    rgb = rgba.convert("RGB")
    rgb.info = {key: value for key, value in rgba.info.items() if key == "icc_profile"}
    return rgb


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey by 1/257 (PIL would clip it to white); everything else as it is."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    values_HW = np.asarray(image.convert("I") if image.mode != "I" else image)
    hidden = image.info.get("transparency")
    grey = Image.fromarray(_by_257(np.clip(values_HW, 0, 65535).astype(np.uint16)))
    grey.info = {key: value for key, value in image.info.items() if key == "icc_profile"}
    if isinstance(hidden, int):
        grey.putalpha(Image.fromarray(np.where(values_HW == hidden, 0, 255).astype(np.uint8)))
    return grey


def _by_257(values: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _to_srgb(image: Image.Image) -> Image.Image:
    """By the embedded profile if it is one for such a picture; else by PIL's plain conversion."""
    data = image.info.get("icc_profile")
    if not data:
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        mode = _PROFILE_MODES[profile.profile.xcolor_space.strip()]
        if mode == "CMYK" != image.mode:
            return image.convert("RGB")
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
        return transform.apply(image.convert(mode))
    except (ImageCms.PyCMSError, KeyError, OSError, ValueError, TypeError):
        return image.convert("RGB")


def _from_array(array: np.ndarray, limits: ImageLimits) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= array.shape[2] <= 4):
        raise InputError(
            f"the picture has shape {array.shape}; give [height, width] or [height, width, 1 to 4]", code="image_format"
        )
    _check_size((array.shape[1], array.shape[0]), "the picture", limits)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(_bytes_of(array)))


def _bytes_of(array: np.ndarray) -> np.ndarray:
    """uint8 of the same shape."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return _by_257(array)
    if array.dtype.kind != "f":
        raise InputError(f"a picture of {array.dtype} is not known; give uint8, uint16 or float", code="image_format")
    # Enlarging filters overshoot a little; much more means another scale, which must not be guessed.
    if not (array.min() >= -0.5 and array.max() <= 1.5):
        raise InputError("the picture's floats must lie in 0..1 and be finite; divide by 255", code="image_format")
    return np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)


def _check_size(size: tuple[int, int], name: str, limits: ImageLimits) -> None:
    width, height = size
    allowed = (
        limits.min_side <= min(size)
        and max(size) <= limits.max_side
        and width * height <= limits.max_pixels
        and max(size) <= limits.max_aspect * min(size)
    )
    if not allowed:
        raise InputError(
            f"{name} is {width} x {height} pixels; sides of {limits.min_side} to {limits.max_side}, at most "
            f"{limits.max_pixels / 1e6:g} million pixels and at most {limits.max_aspect:g}:1 are allowed: resize it",
            code="image_limits",
        )


def _unknown_kind(head: bytes, name: str) -> InputError:
    kind = match_signature(head.lstrip(), _REFUSED)
    if kind is None:
        return _unreadable(name)
    return InputError(f"{name} is {kind}, which is not supported; save it as PNG, JPEG or WebP", code="image_format")


def _unreadable(name: str) -> InputError:
    return InputError(
        f"{name} is damaged or not a picture; save it again as PNG, JPEG or WebP", code="image_unreadable"
    )
