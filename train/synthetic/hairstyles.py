"""Hair, beard and moustache of a character, drawn from its random stream. Called by synthetic/traits."""

from __future__ import annotations

from random import Random

from train.synthetic import palette
from train.synthetic.looks import Identity, Numbers, colour_numbers

AWAY = -9.0
MEN = ("short", "short", "side", "side", "quiff", "curly", "afro", "fringe", "bald", "long", "top knot")
WOMEN = (
    "long",
    "long",
    "bob",
    "bob",
    "bun",
    "pigtails",
    "curly",
    "afro",
    "side",
    "fringe",
    "wavy",
    "short",
    "headscarf",
)
WORDS = {
    "short": "short hair", "side": "side parting", "fringe": "fringe", "bald": "no hair", "quiff": "quiff",
    "bob": "bob", "long": "long hair", "bun": "bun", "pigtails": "buns", "curly": "curls", "afro": "afro",
    "wavy": "waves", "top knot": "top knot", "headscarf": "a headscarf",
}  # fmt: skip
COLOUR_WORDS = {
    "241a18": "black", "33221d": "black", "3a251c": "brown", "5a3825": "brown", "7d4a28": "brown", "a8682f": "tawny",
    "d9a657": "blond", "efd49a": "blond", "b5462a": "red", "c8643a": "red", "9b9794": "grey", "c9c4bd": "grey",
    "e8e4de": "white", "4a5fa0": "blue", "c65b86": "pink", "3f8f8a": "teal", "8a5bb0": "violet",
}  # fmt: skip

BASE: Numbers = {
    "hair_thick": 0.07, "hair_line": 0.60, "hair_slope": 1.25, "parting": 0.0, "peak": 0.0,
    "groove_depth": 0.012, "groove_rate": 26.0, "groove_x": 0.8, "groove_y": 0.35, "curl_depth": 0.0, "curl_rate": 8.0,
    "long_x": 0.1, "long_y": AWAY, "long_z": 0.1, "long_half": 0.1, "long_cut": 0.1, "ear_clear": 0.0,
    "bun": 0.1, "bun_y": AWAY, "bun_z": 0.0, "tail": 0.1, "tail_half": 0.1, "tail_x": 0.9, "tail_y": AWAY,
    "quiff": 0.1, "quiff_x": 0.0, "quiff_y": AWAY, "beard": -1.0, "beard_top": -0.4, "moustache": AWAY, "top": 1.2,
}  # fmt: skip


def draw_hair(r: Random, who: Identity) -> tuple[str, str, Numbers]:
    """Words for style and colour, and the numbers."""
    if who.style == "creature":
        return _animal(r, who)
    style = r.choice(WOMEN if who.feminine else MEN)
    if who.age == "child" and style in ("bald", "top knot"):
        style = "fringe"
    code = _colour(r, who)
    colour = palette.jitter(palette.from_hex(code), r, 0.01, 0.1)
    brow = colour
    if style == "headscarf":
        colour = r.choice(who.harmony[2:])
    n = BASE | _style(r, style) | colour_numbers("hair", colour)
    darker = 0.5 if code in HAIR_PALE else 0.35
    n |= colour_numbers("brow", palette.mixed(brow, palette.from_hex("33221d"), darker))
    if not who.feminine and who.age != "child":
        n |= _beard(r, style)
    covered = style in ("long", "bob", "afro", "wavy", "headscarf")
    n["ear_tuck"] = 0.12 if covered else 0.0
    n["ear_clear"] = 0.0 if covered or style == "bald" else 1.0
    return WORDS[style], "" if style in ("bald", "headscarf") else COLOUR_WORDS[code], n


HAIR_PALE = (*palette.HAIR_GREY, "efd49a")


def _animal(r: Random, who: Identity) -> tuple[str, str, Numbers]:
    """A furry creature: its ears are tails of hair, a tuft may grow between them."""
    kind = r.choice(tuple(ANIMALS))
    colour = palette.jitter(palette.mixed(who.skin, r.choice(who.harmony), 0.25), r)
    n = BASE | _style(r, r.choice(("bald", "short", "quiff", "fringe"))) | _style(r, kind)
    n |= colour_numbers("hair", colour) | colour_numbers("brow", palette.mixed(colour, (0.02, 0.02, 0.03), 0.6))
    return kind, "", n | {"ear_tuck": 0.0, "top": max(n["top"], ANIMALS[kind])}


ANIMALS = {"bear": 1.35, "rabbit": 1.8, "mouse": 1.45, "cat": 1.45}


def _colour(r: Random, who: Identity) -> str:
    if who.age == "elder":
        return r.choice(palette.HAIR_GREY)
    if r.random() < 0.06:
        return r.choice(palette.HAIR_BRIGHT)
    if who.tone >= 5 and r.random() < 0.85:
        return r.choice(palette.HAIR_DARK)
    return r.choice(palette.HAIR_DARK + palette.HAIR_LIGHT + palette.HAIR_LIGHT)


def _beard(r: Random, style: str) -> Numbers:
    n: Numbers = {}
    if r.random() < (0.7 if style == "bald" else 0.3):
        n |= {"beard": r.uniform(0.02, 0.055), "beard_top": r.uniform(-0.42, -0.30)}
    if r.random() < (0.5 if n else 0.15):
        n["moustache"] = r.uniform(0.045, 0.065)
    return n


def _style(r: Random, style: str) -> Numbers:
    """What differs from BASE; a pair is a range to draw from, evenly."""
    ranges = STYLES.get(style, {})
    return {name: value if isinstance(value, float) else r.uniform(*value) for name, value in ranges.items()}


LONG: dict[str, float | tuple[float, float]] = {
    "long_y": (-0.7, -0.4), "long_x": (0.82, 0.92), "long_half": (1.1, 1.35), "long_z": 0.55, "long_cut": (0.05, 0.2),
    "hair_thick": (0.08, 0.11), "hair_line": (0.52, 0.62), "hair_slope": 1.5, "parting": (-0.25, 0.25),
    "groove_depth": 0.02, "groove_rate": (14.0, 22.0),
}  # fmt: skip
BALL: dict[str, float | tuple[float, float]] = {
    "bun": (0.24, 0.34), "bun_y": (1.15, 1.28), "bun_z": -0.2, "top": 1.5,
    "hair_thick": 0.05, "hair_line": (0.58, 0.66), "hair_slope": 1.15, "groove_rate": 34.0,
}  # fmt: skip
STYLES: dict[str, dict[str, float | tuple[float, float]]] = {
    "short": {"hair_thick": (0.05, 0.09), "hair_line": (0.55, 0.64), "hair_slope": (0.85, 1.0), "peak": (-0.05, 0.1)},
    "side": {
        "hair_thick": (0.08, 0.12), "hair_line": (0.56, 0.62), "hair_slope": 1.0, "parting": (0.15, 0.3),
        "quiff": 0.3, "quiff_y": 0.93, "quiff_x": (0.1, 0.2), "groove_depth": 0.018, "groove_rate": (14.0, 20.0),
    },
    "bun": BALL,
    "top knot": BALL,
    "long": LONG,
    "wavy": LONG | {"curl_depth": 0.045},
    "bob": {
        "long_y": -0.2, "long_x": (0.92, 0.98), "long_half": (0.72, 0.8), "long_z": 0.62, "long_cut": 0.2,
        "hair_thick": 0.10, "hair_line": (0.46, 0.58), "hair_slope": 1.5, "groove_depth": 0.016,
    },
    "fringe": {
        "hair_thick": 0.11, "hair_line": (0.44, 0.50), "hair_slope": 1.0, "groove_depth": 0.02,
        "groove_rate": (16.0, 22.0),
    },
    "curly": {
        "hair_thick": (0.15, 0.22), "hair_line": (0.56, 0.62), "hair_slope": 1.1, "curl_depth": (0.05, 0.07),
        "curl_rate": (11.0, 14.0), "groove_depth": 0.0, "top": 1.4,
    },
    "afro": {
        "hair_thick": (0.30, 0.42), "hair_line": (0.58, 0.64), "curl_depth": 0.025, "curl_rate": (17.0, 22.0),
        "groove_depth": 0.0, "top": 1.6,
    },
    "quiff": {
        "hair_thick": 0.06, "hair_line": 0.62, "hair_slope": 0.85, "groove_depth": 0.02, "groove_rate": 18.0,
        "quiff_y": (0.95, 1.05), "quiff": (0.3, 0.38), "quiff_x": (-0.12, 0.12), "top": 1.4,
    },
    "pigtails": {
        "hair_thick": 0.06, "hair_line": (0.54, 0.6), "groove_depth": 0.014, "tail_x": (0.90, 0.98),
        "tail_y": (0.45, 0.65), "tail": (0.26, 0.31), "tail_half": (0.26, 0.34),
    },
    "headscarf": LONG | {
        "long_y": -0.55, "long_half": 1.2, "long_cut": 0.25, "hair_thick": 0.09, "hair_line": (0.50, 0.56),
        "parting": 0.0, "groove_depth": 0.008, "groove_rate": 12.0,
    },
    "bald": {"hair_thick": -0.3},
    "bear": {"tail_x": (0.58, 0.66), "tail_y": (0.98, 1.06), "tail": (0.20, 0.25), "tail_half": 0.24},
    "rabbit": {"tail_x": (0.34, 0.40), "tail_y": (1.22, 1.30), "tail": (0.15, 0.18), "tail_half": (0.46, 0.54)},
    "mouse": {"tail_x": (0.70, 0.76), "tail_y": (0.98, 1.04), "tail": (0.36, 0.42), "tail_half": 0.40},
    "cat": {"tail_x": (0.56, 0.62), "tail_y": (1.02, 1.08), "tail": (0.15, 0.18), "tail_half": (0.34, 0.40)},
}  # fmt: skip
