"""The pictures of the corpus, and a drawn face. Sizes are tiny but where the size is the point."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms, ImageDraw

from tests.media.corpus import Case

UNREADABLE, FORMAT, LIMITS = ("image_unreadable",), ("image_format",), ("image_limits",)
BAD = (*UNREADABLE, *FORMAT, *LIMITS)
HIDDEN = (255, 0, 255)
"""Colour of fully transparent pixels, which nobody may see."""


def sketch(width: int = 48, height: int = 32) -> Image.Image:
    """Four flat quarters (red, green, blue, white) on a smooth ground: a turn or mirror shows."""
    columns, rows = np.meshgrid(np.linspace(40, 200, width), np.linspace(40, 200, height))
    pixels = np.stack([columns, rows, np.full_like(rows, 90)], axis=-1).astype(np.uint8)
    for row, column, colour in ((0, 0, (255, 0, 0)), (0, 1, (0, 255, 0)), (1, 0, (0, 0, 255)), (1, 1, (255, 255, 255))):
        top, left = row * height // 2, column * width // 2
        pixels[top : top + height // 4, left : left + width // 4] = colour
    return Image.fromarray(pixels)


def draw_face(width: int, height: int, centre: tuple[int, int], size: int, skin: str = "#e0b090") -> np.ndarray:
    """uint8 [height, width, 3]: a cartoon head with hair, eyes, brows, nose and mouth, `size` pixels high."""
    image = Image.new("RGB", (width, height), "#7090a0")
    draw = ImageDraw.Draw(image)
    x, y = centre

    def oval(left: float, top: float, right: float, bottom: float, fill: str) -> None:
        draw.ellipse([x + left * size, y + top * size, x + right * size, y + bottom * size], fill=fill)

    oval(-0.9, 0.75, 0.9, 2.2, "#305080")
    oval(-0.62, -0.85, 0.62, 0.5, "#3a2818")
    oval(-0.5, -0.6, 0.5, 0.7, skin)
    for side in (-1, 1):
        middle = side * 0.21
        oval(middle - 0.13, -0.15, middle + 0.13, 0.0, "#ffffff")
        oval(middle - 0.07, -0.15, middle + 0.07, 0.0, "#201008")
        oval(middle - 0.16, -0.30, middle + 0.16, -0.23, "#3a2818")
        oval(side * 0.07 - 0.03, 0.2, side * 0.07 + 0.03, 0.23, "#805040")
    oval(-0.06, -0.1, 0.06, 0.22, "#d09c78")
    oval(-0.2, 0.36, 0.2, 0.46, "#a03030")
    return np.array(image)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """By Pillow."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG by hand, so that its header can lie and 16 bits stay 16 bits. `rows` begin with a filter byte each."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def flat_png(side: int, depth: int, colour: int, pixel: bytes, extra: bytes = b"") -> bytes:
    """A PNG of one colour."""
    return png(side, side, depth, colour, (b"\0" + pixel * side) * side, extra)


def swapped_profile() -> bytes:
    """An ICC profile whose red is sRGB's green and the other way round, so that a conversion shows."""
    primaries = {
        b"rXYZ": (0.3851, 0.7169, 0.0971),
        b"gXYZ": (0.4361, 0.2225, 0.0139),
        b"bXYZ": (0.1431, 0.0606, 0.7141),
    }
    white = (0.9642, 1.0, 0.8249)

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = [(b"wtpt", xyz(white)), *((key, xyz(values)) for key, values in primaries.items())]
    tags += [(key, curve) for key in (b"rTRC", b"gTRC", b"bTRC")]
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for key, data in tags:
        table += key + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + xyz(white)[8:]
    return head.ljust(128, b"\0") + table + body


def ink_profile() -> bytes:
    """An ICC profile for CMYK in which every ink is grey, so that a picture converted by it has no colours."""
    corners = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    colours = b"".join(bytes((round(255 * (1 - (c + m + y + 3 * k) / 6)), 128, 128)) for c, m, y, k in corners)
    unit = b"".join(struct.pack(">i", 65536 * (row == column)) for row in range(3) for column in range(3))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + bytes(range(256)) * 4 + colours + bytes(range(256)) * 3
    head = struct.pack(">I4sI4s4s4s", 144 + len(table), b"\0\0\0\0", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


def srgb_profile() -> bytes:
    """The ordinary one."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def turned(orientation: int, kind: str = "JPEG") -> bytes:
    """The sketch, stored so that a viewer that obeys EXIF shows it upright."""
    stored = sketch()
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    steps = {2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (undo[6],), 7: (6,), 8: (undo[8],)}
    for step in steps.get(orientation, ()):
        stored = stored.transpose(Image.Transpose(step))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x8825] = {1: "N", 2: (52.0, 0.0, 0.0)}
    return saved(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


def half_clear(mode: str = "RGBA") -> Image.Image:
    """Left half opaque blue, right half fully transparent over HIDDEN."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, :16] = (0, 0, 255, 255)
    pixels[:, 16:] = (*HIDDEN, 0)
    return Image.fromarray(pixels).convert(mode)


def palette_clear() -> bytes:
    """The same as a palette with one clear entry."""
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 0, 255, *HIDDEN])
    image.paste(1, (16, 0, 32, 32))
    return saved(image, "PNG", transparency=1)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _plain()
    yield from _transparent()
    yield from _photos()
    yield from _refused()
    yield from _too_large()
    yield from _damaged()


def _case(name: str, make: partial, outcomes: tuple[str, ...] = ("ok",)) -> Case:
    return Case(name, "image", make, outcomes)


def _plain() -> Iterator[Case]:
    for name, mode in (("rgb.png", "RGB"), ("grey.png", "L"), ("black_white.png", "1"), ("palette.png", "P")):
        yield _case(name, partial(_sketch_saved, mode, "PNG"))
    yield _case("rgb.bmp", partial(_sketch_saved, "RGB", "BMP"))
    yield _case("palette.bmp", partial(_sketch_saved, "P", "BMP"))
    yield _case("grey16.png", partial(flat_png, 20, 16, 0, struct.pack(">H", 40000)))
    yield _case("rgb16.png", partial(flat_png, 20, 16, 2, struct.pack(">HHH", 40000, 0, 65535)))
    yield _case("smallest.png", partial(flat_png, 16, 8, 2, b"\1\2\3"))
    yield _case("interlaced.png", _interlaced)
    frames = [sketch(), Image.new("RGB", (48, 32), "black")]
    yield _case("animated.png", lambda: saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    yield _case(
        "animated.webp", lambda: saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    )


def _interlaced() -> bytes:
    """Adam7 of 16x16 equal grey pixels: seven passes."""
    passes = ((2, 2), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8))
    rows = b"".join((b"\0" + b"\x80" * width) * height for width, height in passes)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _sketch_saved(mode: str, kind: str, **options: object) -> bytes:
    return saved(sketch().convert(mode), kind, **options)


def _transparent() -> Iterator[Case]:
    yield _case("rgba.png", lambda: saved(half_clear(), "PNG"))
    yield _case("grey_alpha.png", lambda: saved(half_clear("LA"), "PNG"))
    yield _case("palette_clear.png", palette_clear)
    key = struct.pack(">HHH", *HIDDEN)
    yield _case("rgb_key.png", partial(flat_png, 20, 8, 2, bytes(HIDDEN), chunk(b"tRNS", key)))
    yield _case("grey_key.png", partial(flat_png, 20, 8, 0, b"\xff", chunk(b"tRNS", b"\0\xff")))
    yield _case("grey16_key.png", partial(flat_png, 20, 16, 0, b"\xff\xff", chunk(b"tRNS", b"\xff\xff")))
    yield _case("rgba16.png", partial(flat_png, 20, 16, 6, struct.pack(">HHHH", 65535, 0, 65535, 0)))
    yield _case("lossless_alpha.webp", lambda: saved(half_clear(), "WEBP", lossless=True, exact=True))


def _photos() -> Iterator[Case]:
    yield _case("rgb.jpg", partial(_sketch_saved, "RGB", "JPEG", quality=95))
    yield _case("jpeg_named.png", partial(_sketch_saved, "RGB", "JPEG"))
    yield _case("grey.jpg", partial(_sketch_saved, "L", "JPEG"))
    yield _case("cmyk.jpg", partial(_sketch_saved, "CMYK", "JPEG"))
    yield _case("progressive.jpg", partial(_sketch_saved, "RGB", "JPEG", progressive=True))
    yield _case("lossy.webp", partial(_sketch_saved, "RGB", "WEBP", quality=90))
    yield _case("several.jpg", lambda: saved(sketch(), "MPO", save_all=True, append_images=[sketch()], quality=95))
    for orientation in range(1, 9):
        yield _case(f"exif_{orientation}.jpg", partial(turned, orientation))
    yield _case("exif_6.png", partial(turned, 6, "PNG"))
    yield _case("exif_6.webp", partial(turned, 6, "WEBP"))
    yield _case("exif_99.jpg", partial(turned, 99))
    yield _case(
        "exif_broken.jpg",
        partial(_sketch_saved, "RGB", "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        ("ok", *UNREADABLE),
    )
    yield _case("icc_srgb.png", lambda: _sketch_saved("RGB", "PNG", icc_profile=srgb_profile()))
    yield _case("icc_swapped.png", lambda: _sketch_saved("RGB", "PNG", icc_profile=swapped_profile()))
    yield _case("icc_swapped.jpg", lambda: _sketch_saved("RGB", "JPEG", icc_profile=swapped_profile(), quality=95))
    yield _case("icc_swapped_alpha.png", lambda: saved(half_clear(), "PNG", icc_profile=swapped_profile()))
    yield _case("icc_for_rgb_in_grey.jpg", lambda: _sketch_saved("L", "JPEG", icc_profile=srgb_profile()))
    yield _case("icc_for_rgb_in_cmyk.jpg", lambda: _sketch_saved("CMYK", "JPEG", icc_profile=srgb_profile()))
    yield _case("icc_cmyk.jpg", lambda: _sketch_saved("CMYK", "JPEG", icc_profile=ink_profile(), quality=95))
    yield _case("icc_for_cmyk_in_rgb.jpg", lambda: _sketch_saved("RGB", "JPEG", icc_profile=ink_profile(), quality=95))
    yield _case("icc_broken.jpg", partial(_sketch_saved, "RGB", "JPEG", icc_profile=b"not a profile" * 20, quality=95))


def _refused() -> Iterator[Case]:
    for name, kind in (("still.gif", "GIF"), ("scan.tiff", "TIFF"), ("favicon.ico", "ICO"), ("page.pdf", "PDF")):
        yield _case(name, partial(_sketch_saved, "RGB", kind), FORMAT)
        yield _case(f"disguised_{kind.lower()}.png", partial(_sketch_saved, "RGB", kind), FORMAT)
    heads = {
        "vector.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "vector_xml.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "print.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\nshowpage\n",
        "layers.psd": b"8BPS\0\1" + bytes(40),
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        "web.avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(40),
        "film_as_picture.mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(40),
        "wavelet.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "modern.jxl": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40),
    }
    for name, head in heads.items():
        yield _case(name, partial(bytes, head), FORMAT)


def _too_large() -> Iterator[Case]:
    yield _case("bits_13200.png", _bomb, LIMITS)
    header_only = {
        "wide.png": (8193, 100),
        "thin.png": (1, 40000),
        "area.png": (7101, 7113),
        "huge.png": (1 << 30, 1 << 30),
    }
    for name, (width, height) in header_only.items():
        yield _case(name, partial(png, width, height, 8, 2, b""), LIMITS)
    yield _case("huge.bmp", lambda: _patched(_sketch_saved("RGB", "BMP"), 18, struct.pack("<ii", 40000, 40000)), LIMITS)
    yield _case("huge.jpg", _tall_jpeg, LIMITS)
    yield _case("huge.webp", _wide_webp, BAD)
    yield _case("tiny.png", partial(flat_png, 15, 8, 2, b"\1\2\3"), LIMITS)
    yield _case("strip.png", partial(png, 400, 20, 8, 2, (b"\0" + b"\1\2\3" * 400) * 20), LIMITS)
    yield _case("text_bomb.png", partial(_packed_bomb, b"zTXt"), ("ok", *BAD))
    yield _case("profile_bomb.png", partial(_packed_bomb, b"iCCP"), ("ok", *BAD))
    yield _case("scan_bomb.jpg", _scan_bomb, UNREADABLE)


def _packed_bomb(kind: bytes) -> bytes:
    """A small PNG with a chunk that unpacks to 80 MB."""
    return flat_png(20, 8, 2, b"\1\2\3", chunk(kind, b"k\0\0" + zlib.compress(bytes(80_000_000))))


def _bomb() -> bytes:
    """21 KB of PNG for 174 million one-bit pixels."""
    return png(13200, 13200, 1, 0, bytes(13200 * (1 + 13200 // 8)))


def _scan_bomb() -> bytes:
    """A progressive JPEG that repeats its last scan: each costs few bytes, but a pass over all pixels."""
    data = saved(Image.new("RGB", (3000, 3000), "teal"), "JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * 10_000 + data[-2:]


def _tall_jpeg() -> bytes:
    data = _sketch_saved("RGB", "JPEG")
    return _patched(data, data.find(b"\xff\xc0") + 5, struct.pack(">HH", 60000, 60000))


def _wide_webp() -> bytes:
    """The extended header says 16384 x 16384, the picture inside is small."""
    data = saved(half_clear(), "WEBP", lossless=True)
    body = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + (16383).to_bytes(3, "little") * 2 + data[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _patched(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _damaged() -> Iterator[Case]:
    noise = np.random.default_rng(0).bytes
    yield _case("empty.png", bytes, UNREADABLE)
    yield _case("one_byte.jpg", lambda: b"\xff", UNREADABLE)
    yield _case("signature.png", lambda: b"\x89PNG\r\n\x1a\n", UNREADABLE)
    yield _case("zero_side.png", partial(png, 0, 5, 8, 2, b""), (*UNREADABLE, *LIMITS))
    yield _case("no_pixels.png", partial(png, 64, 64, 8, 2, b""), UNREADABLE)
    yield _case("bad_check.png", lambda: _patched(_sketch_saved("RGB", "PNG"), 60, b"\0\1\2\3"), UNREADABLE)
    yield _case("cut.png", lambda: _sketch_saved("RGB", "PNG")[:120], UNREADABLE)
    yield _case("cut.jpg", lambda: _sketch_saved("RGB", "JPEG", quality=95)[:900], UNREADABLE)
    yield _case("cut_progressive.jpg", lambda: _sketch_saved("RGB", "JPEG", progressive=True)[:700], UNREADABLE)
    yield _case("cut.webp", lambda: _sketch_saved("RGB", "WEBP")[:60], UNREADABLE)
    yield _case("cut.bmp", lambda: _sketch_saved("RGB", "BMP")[:500], UNREADABLE)
    yield _case("text.png", lambda: b"this is not a picture\n" * 9, UNREADABLE)
    for name in ("noise.png", "noise.jpg", "noise.webp"):
        yield _case(name, partial(noise, 5000), UNREADABLE)
    yield _case("noise_body.jpg", lambda: _sketch_saved("RGB", "JPEG")[:20] + noise(5000), UNREADABLE)
    yield _case("noise_body.png", lambda: _sketch_saved("RGB", "PNG")[:33] + noise(5000), UNREADABLE)
    yield _case("noise_body.webp", lambda: _sketch_saved("RGB", "WEBP")[:20] + noise(5000), UNREADABLE)
