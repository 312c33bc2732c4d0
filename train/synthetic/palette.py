"""Colours that go together, as linear RGB. Called by synthetic/traits."""

from __future__ import annotations

import colorsys
from random import Random

Colour = tuple[float, float, float]

WOODS = ("d9ab72", "c48d54", "a8703e", "8a5730", "e3c08c")
SKINS = ("efc3a3", "ecb994", "e6ae88", "dd9d70", "d29065", "b87650", "9c5f3d", "7d4a30", "63382a")
HAIR_DARK = ("241a18", "33221d", "3a251c", "5a3825")
HAIR_LIGHT = ("7d4a28", "a8682f", "d9a657", "efd49a", "b5462a", "c8643a")
HAIR_GREY = ("9b9794", "c9c4bd", "e8e4de")
HAIR_BRIGHT = ("4a5fa0", "c65b86", "3f8f8a", "8a5bb0")
IRISES = ("6e4526", "8a5c33", "3f7fa6", "4c8a63", "6c86a0", "8a6a2c")
FRAMES = ("22201f", "6b3420", "2c3d5c", "b08a3c", "8a2f3a", "e8e0d0")
METALS = ("d8ab48", "c8ccd2", "e7e1d8", "c8574a")
CREATURES = ("5fa878", "5b93cc", "9a74c4", "d97f93", "93b352", "4aa3a3", "d0914f", "8d8f9c")

# background light, background deep, cloth, second cloth, accent: each row is one harmony
HARMONIES = (
    ("f6d9b8", "d98f6c", "2f5d6b", "f2e6d0", "e2793f"),
    ("cfe3e6", "6d9fb0", "e0674c", "fbe9d4", "f2b544"),
    ("e4dcf1", "9a86c2", "f4c04e", "fff4da", "5b4a99"),
    ("d7ead2", "7fae86", "d4574e", "f7ead6", "2d6a5d"),
    ("fbe3e1", "d9909a", "3d4f86", "f3efe6", "e6b33f"),
    ("fdeccb", "e3b25e", "3f7f78", "fff6e3", "c84f43"),
    ("d3e2f5", "7490c4", "f09a5b", "fdf0dc", "2f477f"),
    ("efe6d8", "b59b7c", "6d8b5d", "f6efdf", "c5693f"),
    ("d5efec", "5fa7a6", "7a4f8a", "f7e5ef", "f0a03c"),
    ("f1e0ea", "b37ea0", "2f7c86", "eaf4ee", "e8735f"),
    ("e7edc9", "a4b35c", "375a8c", "f4f1df", "de6a4b"),
    ("d9dde8", "848da6", "c94b58", "f3e8df", "edb84f"),
    ("ffe0c2", "ef9567", "7c3f58", "ffeedd", "3c8d88"),
    ("cde8f7", "58a0cf", "f2d04f", "ffffff", "d9534c"),
    ("dcd2c4", "8a7a68", "28455a", "e9dfcc", "b8553a"),
    ("e3f3dc", "8cc089", "ef7f86", "fdf3e7", "4d5f9f"),
    ("c9c6e6", "5f5a9a", "58b5a8", "f0f4ea", "f58f6b"),
    ("f7efe2", "cdb28c", "b1403f", "f3d9a0", "2f5a54"),
)

LIP_CONTRAST = 0.13


def from_hex(text: str) -> Colour:
    """sRGB hex -> linear."""
    red, green, blue = (to_linear(int(text[i : i + 2], 16) / 255) for i in (0, 2, 4))
    return red, green, blue


def to_linear(value: float) -> float:
    """Display value 0..1 -> linear light, with the plain 2.2 power that the renderer undoes."""
    return value**2.2


def jitter(colour: Colour, r: Random, hue: float = 0.02, spread: float = 0.08) -> Colour:
    """A near relative of a linear colour."""
    h, s, v = colorsys.rgb_to_hsv(*colour)
    return colorsys.hsv_to_rgb(
        (h + r.uniform(-hue, hue)) % 1,
        min(1.0, s * r.uniform(1 - spread, 1 + spread)),
        min(0.95, v * r.uniform(1 - spread, 1 + spread)),
    )


def mixed(a: Colour, b: Colour, weight: float) -> Colour:
    """a at weight 0, b at weight 1."""
    red, green, blue = (p + (q - p) * weight for p, q in zip(a, b, strict=True))
    return red, green, blue


def luminance(colour: Colour) -> float:
    """Rec. 709 luminance of a linear colour."""
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def lip_colour(skin: Colour, painted: float) -> Colour:
    """A red that stands off the skin: deeper on pale skin, rosier on dark; `painted` 0 (bare) to 1 (lipstick)."""
    bare = (skin[0] * 0.70, skin[1] * 0.36, skin[2] * 0.40)
    dark = max(0.0, 1 - luminance(skin) / 0.16)
    bare = mixed(bare, (0.42, 0.105, 0.11), 0.75 * dark)
    choices = [mixed(bare, (0.50, 0.035, 0.06), 0.65 * painted), (skin[0] * 0.5, skin[1] * 0.2, skin[2] * 0.3)]
    return next((lip for lip in choices if contrast(skin, lip) > LIP_CONTRAST), (0.62, 0.20, 0.20))


def contrast(a: Colour, b: Colour) -> float:
    """The largest difference of a channel, in display values 0..1."""
    return max(abs(p ** (1 / 2.2) - q ** (1 / 2.2)) for p, q in zip(a, b, strict=True))
