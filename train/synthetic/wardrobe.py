"""Clothes, hat, glasses, jewels and background of a character, drawn from its stream. Called by synthetic/traits."""

from __future__ import annotations

from random import Random

from train.synthetic import palette
from train.synthetic.looks import Identity, Numbers, colour_numbers

AWAY = -9.0
GARMENTS = ("tee", "tee", "vee", "turtleneck", "scoop", "jacket", "shirt")
PATTERNS = ("plain", "plain", "plain", "stripes", "pinstripes", "dots", "check")
BACKGROUNDS = ("gradient", "gradient", "bokeh", "stripes", "disc", "window", "shelf", "rays")
HATS = ("beanie", "beanie", "bobble", "brim", "cap", "bowler")
FLAT_HAIR = ("short hair", "long hair", "a bob", "no hair", "a fringe", "waves")
COVERED = ("long hair", "a bob", "an afro", "waves", "a headscarf", "bear", "rabbit", "mouse", "cat")

NO_HAT: Numbers = {
    "hat_grow": 0.1, "hat_height": 0.2, "hat_line": 9.0, "hat_tilt": 0.0, "hat_ribs": 0.0, "hat_band": 0.1,
    "brim": 0.1, "brim_z": 0.0, "brim_ratio": 1.0, "brim_curl": 0.0, "ball": 0.1, "ball_y": 9.0,
}  # fmt: skip
NO_JEWELS: Numbers = {"ring": 0.05, "ring_drop": 9.0, "ring_hoop": 0.0}
NO_GLASSES: Numbers = {"glasses": 0.2, "glasses_z": -9.0, "glasses_square": 0.0, "glasses_wire": 0.022}


def draw_clothes(r: Random, who: Identity, hair: str, numbers: Numbers) -> tuple[str, Numbers]:
    """A word for what stands out most, and the numbers of all that is worn and of what is behind."""
    garment = r.choice(GARMENTS)
    n = _garment(r, who, garment) | _pattern(r, garment) | NO_HAT | NO_JEWELS | NO_GLASSES
    wears = "" if garment in ("tee", "vee", "scoop") else f"a {garment}"
    n["scarf"] = AWAY
    if garment in ("tee", "vee") and r.random() < 0.14:
        n["scarf"], wears = r.uniform(0.12, 0.15), "a scarf"
    if who.feminine and hair not in COVERED and r.random() < 0.5:
        n |= {"ring": r.uniform(0.05, 0.08), "ring_drop": r.uniform(0.22, 0.3), "ring_hoop": float(r.random() < 0.5)}
    if hair in FLAT_HAIR and r.random() < 0.22:
        style = r.choice(HATS)
        n |= _hat(r, style, max(0.0, numbers["hair_thick"]))
        wears = "a hat" if style in ("brim", "bowler") else f"a {style}"
    if r.random() < 0.25:
        n |= _glasses(r, numbers)
        wears = "glasses"
    n |= _colours(r, who) | _background(r)
    return wears, n


def _garment(r: Random, who: Identity, garment: str) -> Numbers:
    broad = 0.0 if who.feminine else 0.05
    neckline = {"vee": 0.36, "scoop": 0.50, "turtleneck": 0.1, "jacket": 0.1, "shirt": 0.30}.get(garment, 0.40)
    return {
        "neckline": neckline + (broad if neckline > 0.2 else 0.0),
        "vee_y": {"vee": -1.85, "scoop": -1.75}.get(garment, 9.0),
        "turtle": 1.0 if garment == "turtleneck" else 0.0,
        "jacket": 1.0 if garment == "jacket" else 0.0,
        "tie": 1.0 if garment == "jacket" and r.random() < 0.7 else 0.0,
        "buttons": 1.0 if garment == "shirt" else 0.0,
    }


def _pattern(r: Random, garment: str) -> Numbers:
    pattern = "plain" if garment == "jacket" else r.choice(PATTERNS)
    weights = {name: 1.0 if pattern == name else 0.0 for name in ("stripes", "pinstripes", "dots", "check")}
    return weights | {"pattern_rate": r.uniform(14, 24)}


def _hat(r: Random, style: str, hair_thick: float) -> Numbers:
    grow = hair_thick + 0.06
    n = {"hat_grow": grow, "hat_height": grow + 0.06, "hat_line": r.uniform(0.62, 0.69), "hat_tilt": 0.32, "top": 1.3}
    if style in ("beanie", "bobble"):
        n |= {"hat_ribs": 0.012, "hat_band": 0.13}
        return n | ({"ball": 0.19, "ball_y": 1.36, "top": 1.5} if style == "bobble" else {})
    n |= {"hat_band": 0.05, "hat_ribs": 0.0}
    if style == "cap":
        return n | {"brim": 0.50, "brim_z": 0.80, "brim_ratio": 1.1, "brim_curl": -0.25, "hat_tilt": 0.2}
    wide = 1.26 if style == "brim" else 1.06
    return n | {"brim": wide, "brim_z": -0.1, "brim_ratio": 1.0, "brim_curl": r.uniform(0.0, 0.1), "hat_tilt": 0.16}


def _glasses(r: Random, n: Numbers) -> Numbers:
    size = min(n["eye_size"] * r.uniform(1.15, 1.28), n["eye_x"] - 0.035)
    thick = r.uniform(0.016, 0.028)
    return {"glasses": size, "glasses_z": 0.86, "glasses_square": r.uniform(0, 1), "glasses_wire": thick}


def _colours(r: Random, who: Identity) -> Numbers:
    light, deep, cloth, second, accent = who.harmony
    if r.random() < 0.3:
        cloth, accent = accent, cloth
    n = colour_numbers("cloth", cloth) | colour_numbers("second", second) | colour_numbers("accent", accent)
    metal = r.choice(palette.FRAMES if r.random() < 0.7 else palette.METALS)
    n |= colour_numbers("metal", palette.from_hex(metal))
    return n | colour_numbers("light", light) | colour_numbers("deep", deep)


def _background(r: Random) -> Numbers:
    kind = r.choice(BACKGROUNDS)
    weights = {f"background_{name}": 1.0 if kind == name else 0.0 for name in sorted(set(BACKGROUNDS))}
    return weights | {"background_slant": r.uniform(-1, 1), "background_phase": r.uniform(0, 6.28)}
