"""Face, skin, art style, light and camera of a character, drawn from its random stream. Called by synthetic/traits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from train.synthetic import palette
from train.synthetic.palette import Colour

Numbers = dict[str, float]

SHAPES = ("oval", "oval", "round", "square", "long", "heart")
STYLES = ("film", "film", "film", "toon", "toon", "soft", "soft", "vinyl", "wood", "creature")


@dataclass(frozen=True)
class Identity:
    """What the other draws depend on."""

    style: str
    age: str
    feminine: bool
    shape: str
    skin: Colour
    tone: int
    harmony: tuple[Colour, ...]


def draw_identity(r: Random) -> Identity:
    """Style, age, sex, shape of the head, tone of the skin and the harmony of colours."""
    age = r.choices(("child", "adult", "elder"), (0.22, 0.6, 0.18))[0]
    tone = r.randrange(len(palette.SKINS))
    style = r.choice(STYLES)
    skins = {"wood": palette.WOODS, "creature": palette.CREATURES}.get(style, palette.SKINS)
    skin = palette.jitter(palette.from_hex(skins[tone % len(skins)]), r, 0.008, 0.06)
    harmony = tuple(palette.jitter(palette.from_hex(text), r) for text in r.choice(palette.HARMONIES))
    return Identity(style, age, r.random() < 0.5, r.choice(SHAPES), skin, tone, harmony)


def around(r: Random, mean: float, spread: float) -> float:
    """A normal draw whose tails are cut at 1.8 deviations."""
    return mean + spread * max(-1.8, min(1.8, r.gauss(0, 1)))


def colour_numbers(name: str, colour: Colour) -> Numbers:
    """The three columns of a colour."""
    return {f"{name}_{channel}": value for channel, value in zip("rgb", colour, strict=True)}


def draw_face(r: Random, who: Identity) -> Numbers:
    """Skull, jaw, cheeks, nose, ears and neck."""
    broad = 0.0 if who.feminine or who.age == "child" else 1.0
    n = {
        "head_width": around(r, 0.80, 0.025), "head_height": around(r, 0.80, 0.025), "head_depth": 0.86,
        "jaw_width": around(r, 0.60, 0.03) + 0.05 * broad, "jaw_length": around(r, 0.65, 0.025),
        "corner_x": 0.36, "corner_y": 0.42, "corner": 0.14,
        "cheek": around(r, 0.30, 0.02), "chin": around(r, 0.225, 0.02) + 0.03 * broad,
        "chin_y": around(r, -0.70, 0.025),
        "nose_y": around(r, -0.19, 0.025), "nose_z": around(r, 0.81, 0.025),
        "nose_tip": around(r, 0.092, 0.013) + 0.008 * broad, "nose_width": around(r, 0.072, 0.013),
        "nose_bridge": around(r, 0.055, 0.008),
        "ear_size": around(r, 1.0, 0.1), "ear_point": 0.5 if r.random() < 0.04 else 0.0,
        "neck": around(r, 0.25, 0.012) + 0.06 * broad, "shoulders": around(r, 0.84, 0.04) + 0.14 * broad,
    }  # fmt: skip
    for name, change in SHAPE_CHANGES[who.shape].items():
        n[name] += change * r.uniform(0.6, 1.0)
    if who.age == "child":
        n |= {"nose_tip": n["nose_tip"] * 0.82, "nose_width": n["nose_width"] * 0.8, "nose_z": n["nose_z"] - 0.02}
        n |= {"neck": 0.21, "shoulders": around(r, 0.68, 0.03), "cheek": n["cheek"] + 0.03, "nose_bridge": 0.05}
        n |= {"jaw_length": n["jaw_length"] - 0.03, "chin_y": n["chin_y"] + 0.03, "nose_y": n["nose_y"] - 0.02}
    if who.age == "elder":
        n |= {"nose_tip": n["nose_tip"] * 1.1, "ear_size": n["ear_size"] * 1.15}
    n["ear_x"] = n["head_width"] + around(r, 0.035, 0.01)
    if who.style == "creature":
        n |= {"ear_size": 0.4, "ear_x": n["head_width"] - 0.25, "nose_tip": 0.105, "nose_width": 0.05}
    return n


SHAPE_CHANGES: dict[str, Numbers] = {
    "oval": {},
    "round": {"jaw_width": 0.10, "jaw_length": -0.03, "cheek": 0.05, "chin_y": 0.05, "chin": 0.04, "head_width": 0.03},
    "square": {"corner": 0.11, "corner_x": 0.05, "corner_y": 0.02, "chin": 0.06, "jaw_width": 0.03},
    "long": {"head_width": -0.06, "jaw_width": -0.04, "jaw_length": 0.06, "chin_y": -0.07, "cheek": -0.02},
    "heart": {"head_width": 0.03, "jaw_width": -0.06, "chin": -0.03, "cheek": 0.02},
}


def draw_eyes(r: Random, who: Identity) -> Numbers:
    """Eyes, lids and brows. Realistic proportions go with small eyes, children with large ones."""
    size = {"soft": around(r, 0.175, 0.01), "toon": around(r, 0.235, 0.012)}.get(who.style, around(r, 0.222, 0.013))
    size *= 1.08 if who.age == "child" else 0.95 if who.age == "elder" else 1.0
    size += 0.008 if who.feminine else 0.0
    thick = {"child": 0.028, "adult": 0.033, "elder": 0.037}[who.age] + (-0.005 if who.feminine else 0.006)
    irises = palette.IRISES if who.tone < 5 or r.random() < 0.2 else palette.IRISES[:2]
    eye_y = around(r, 0.0, 0.015) - (0.05 if who.age == "child" else 0.0)
    return {
        "eye_size": size, "eye_x": around(r, 0.31, 0.01), "eye_y": eye_y, "eye_z": 0.705 - size,
        "eye_open": around(r, 0.53, 0.05) - (0.05 if who.age == "elder" else 0.0), "eye_tilt": around(r, 0.03, 0.06),
        "socket": 0.70, "iris": around(r, 0.69, 0.03), "lash": 1.0 if who.feminine else 0.45,
        "brow_thick": around(r, thick, 0.004), "brow_length": around(r, 0.175, 0.012) * (0.5 + 2.2 * size),
        "brow_arch": around(r, 0.075, 0.015), "brow_y": size + around(r, 0.165, 0.015),
        "brow_slope": around(r, -0.17, 0.05),
        **colour_numbers("iris", palette.jitter(palette.from_hex(r.choice(irises)), r)),
    }  # fmt: skip


def draw_mouth(r: Random, who: Identity) -> Numbers:
    """Mouth and lips; every lip is thick and red enough to be seen."""
    full = 0.006 if who.feminine else 0.0
    base = palette.mixed(who.skin, (0.55, 0.10, 0.10), 0.75) if who.style == "creature" else who.skin
    painted = r.uniform(0.3, 1.0) if who.feminine and who.age != "child" else r.uniform(0.0, 0.2)
    return {
        "mouth_y": around(r, -0.475, 0.015), "mouth_width": around(r, 0.275, 0.012),
        "mouth_curve": around(r, 0.07, 0.015),
        "upper_lip": around(r, 0.042, 0.004) + full, "lower_lip": around(r, 0.052, 0.005) + full,
        "lip_paint": painted,
        **colour_numbers("lip", palette.lip_colour(base, painted)),
    }  # fmt: skip


def draw_skin(r: Random, who: Identity) -> Numbers:
    """Colour of the skin and what time and weather did to it."""
    return {
        "blush": r.uniform(0.35, 0.85) if who.feminine or who.age == "child" else r.uniform(0.15, 0.5),
        "freckles": 1.0 if r.random() < 0.16 and who.tone < 5 else 0.0,
        "wrinkles": r.uniform(0.6, 1.0) if who.age == "elder" else 0.0,
        **colour_numbers("skin", who.skin),
    }


def draw_style(r: Random, who: Identity) -> Numbers:
    """Weights of the art styles in the shading."""
    return {
        "toon": 1.0 if who.style == "toon" else 0.0,
        "outline": 1.0 if who.style == "toon" and r.random() < 0.5 else 0.0,
        "gloss": {"vinyl": 1.0, "wood": 0.35, "soft": 0.12}.get(who.style, 0.2),
        "grain": 1.0 if who.style == "wood" else 0.0,
        "muzzle": 1.0 if who.style == "creature" else 0.0,
    }


def draw_light(r: Random) -> Numbers:
    """Direction and colour of the key light, strength of the rest."""
    side, height = r.choice((-1, 1)) * r.uniform(0.35, 0.75), r.uniform(0.45, 0.75)
    norm = math.sqrt(side * side + height * height + 0.49)
    warm = r.uniform(-0.6, 1.0)
    return {
        "key_x": side / norm, "key_y": height / norm, "key_z": 0.7 / norm,
        "key_r": 1.34 + 0.10 * warm, "key_g": 1.29 + 0.02 * warm, "key_b": 1.25 - 0.12 * warm,
        "fill": r.uniform(0.8, 1.2), "rim": r.uniform(0.5, 1.2),
    }  # fmt: skip


def draw_camera(r: Random, n: Numbers) -> Numbers:
    """Half the picture's height in head units; tall hair and hats need more. sink: see columns._framing."""
    tall = max(0.0, n["top"] - 1.25)
    zoom, camera_y = r.uniform(1.44, 1.54) + 0.45 * tall, r.uniform(-0.14, -0.07) + 0.40 * tall
    return {"zoom": zoom, "camera_y": camera_y, "sink": 1.0}
