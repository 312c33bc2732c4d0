"""Phonemes to mouth shapes: what shape each sound wants, how firmly each part of the mouth holds it, and where lips
must meet. Called by synthetic/articulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashtalk.errors import InputError
from train.synthetic.phonemes import SYMBOLS, VOWELS, Phoneme
from train.synthetic.pose import VISEMES

Array = NDArray[np.float64]

MOUTH: tuple[str, ...] = ("jaw", "wide", "round", "upper", "lower", "tuck", "press", "tongue", "smile")
"""Columns of a pose that speech moves, in their order here (letter M in shapes)."""

_SHAPES: dict[str, tuple[dict[str, float], ...]] = {
    **dict.fromkeys(("B", "M", "P"), ({"MBP": 1.0},)),
    **dict.fromkeys(("F", "V"), ({"FV": 1.0},)),
    **dict.fromkeys(("TH", "DH"), ({"TH": 1.0},)),
    **dict.fromkeys(("D", "N", "T", "NY"), ({"TDN": 1.0},)),
    **dict.fromkeys(("L", "LY"), ({"L": 1.0},)),
    **dict.fromkeys(("S", "Z", "TS", "DZ"), ({"SZ": 1.0},)),
    **dict.fromkeys(("CH", "JH", "SH", "ZH"), ({"SHCH": 1.0},)),
    **dict.fromkeys(("G", "K", "NG", "X", "HH", "Q"), ({"KG": 1.0},)),
    **dict.fromkeys(("W", "UW"), ({"OO": 1.0},)),
    **dict.fromkeys(("Y", "IY"), ({"EE": 1.0},)),
    "R": ({"R": 1.0},),
    "RR": ({"L": 0.6, "R": 0.4},),
    "WY": ({"OO": 0.85, "EE": 0.15},),
    "AA": ({"AA": 1.0},),
    "AE": ({"AA": 0.5, "EH": 0.6},),
    "AH": ({"AA": 0.55, "EH": 0.25},),
    "AO": ({"OH": 1.0},),
    "AX": ({"IH": 0.5, "EH": 0.35},),
    "EH": ({"EH": 1.0},),
    "ER": ({"R": 0.6, "EH": 0.45},),
    "IH": ({"IH": 1.0},),
    "IX": ({"IH": 0.6, "SZ": 0.3},),
    "OE": ({"OH": 0.6, "OO": 0.25, "EH": 0.2},),
    "UE": ({"OO": 0.9, "EE": 0.15},),
    "UH": ({"OO": 0.7, "IH": 0.35},),
    "AW": ({"AA": 1.0}, {"OO": 0.75, "OH": 0.2}),
    "AY": ({"AA": 1.0}, {"IH": 0.6, "EE": 0.3}),
    "EY": ({"EH": 1.0}, {"EE": 0.7, "IH": 0.3}),
    "OW": ({"OH": 1.0}, {"OO": 0.95}),
    "OY": ({"OH": 1.0}, {"IH": 0.6, "EE": 0.3}),
}
"""Symbol -> one mixture of visemes, or two for a sound that moves."""

_GRIPS: dict[str, tuple[float, float, float]] = {
    "MBP": (1.0, 2.0, 0.2),
    "FV": (1.0, 2.0, 0.2),
    "TH": (0.8, 0.6, 1.5),
    "TDN": (0.55, 0.3, 1.2),
    "L": (0.45, 0.25, 1.5),
    "SZ": (1.3, 0.8, 1.0),
    "SHCH": (1.2, 1.3, 1.0),
    "R": (0.6, 0.9, 0.6),
    "KG": (0.3, 0.12, 0.6),
    "OO": (1.0, 1.5, 0.5),
}
"""Consonant's viseme -> how firmly it holds (jaw, lips, tongue) against its neighbours."""

_VOWEL_GRIP = (1.4, 1.3, 0.5)
_FAINT = {"HH": 0.3, "Q": 0.2}
"""Sounds made in the throat: the mouth already has the shape of what comes next."""

_STRESS_SCALE = {0: 0.86, 1: 1.08, 2: 0.98}
_MOVE_AT = 0.45
"""Part of a diphthong after which its second shape begins."""

_STOPS = frozenset("BP")
_MIN_CLOSURE_S = 0.04
"""One video frame, so that every closure is seen in at least one."""
_CLOSURE_GAP_S = 0.04


@dataclass(frozen=True)
class Segments:
    """Pieces of speech in order, N of them; gaps are pieces at rest. Infinite ends are silence without end."""

    start_s: Array
    end_s: Array
    targets_NM: Array
    grips_NM: Array
    is_rest: NDArray[np.bool_]


@dataclass(frozen=True)
class Closures:
    """Times [start, end] at which the lips of MBP or FV are where they must be, and that shape; 40 ms apart or more."""

    start_s: Array
    end_s: Array
    targets_NM: Array


def segments(phonemes: Sequence[Phoneme]) -> Segments:
    """Every phoneme's one or two shapes and the rests around and between them.

    Raises InputError(phonemes) for an unknown symbol or times that overlap.
    """
    check_phonemes(phonemes)
    rows: list[tuple[float, float, Array, Array, bool]] = []
    still, loose = np.zeros(len(MOUTH)), np.ones(len(MOUTH))
    last_s = -np.inf
    for phoneme in phonemes:
        if phoneme.start_s > last_s:
            rows.append((last_s, phoneme.start_s, still, loose, True))
        rows.extend(_pieces(phoneme))
        last_s = phoneme.end_s
    rows.append((last_s, np.inf, still, loose, True))
    starts, ends, targets, grips, rests = zip(*rows, strict=True)
    return Segments(np.array(starts), np.array(ends), np.array(targets), np.array(grips), np.array(rests))


def closures(phonemes: Sequence[Phoneme]) -> Closures:
    """Where the lips meet (M, B, P) or the lower lip meets the teeth (F, V); a stop opens before its sound ends."""
    starts: list[float] = []
    ends: list[float] = []
    targets: list[Array] = []
    for phoneme in phonemes:
        viseme = next(iter(_SHAPES[phoneme.symbol][0]))
        if viseme not in ("MBP", "FV"):
            continue
        held_s = min(phoneme.end_s - phoneme.start_s, 0.15) * (0.6 if phoneme.symbol in _STOPS else 0.85)
        start_s = phoneme.start_s
        if ends and start_s < ends[-1] + _CLOSURE_GAP_S:
            start_s = ends[-1] + _CLOSURE_GAP_S
        starts.append(start_s)
        ends.append(max(start_s + _MIN_CLOSURE_S, phoneme.start_s + held_s))
        targets.append(_shape({viseme: 1.0}))
    return Closures(np.array(starts), np.array(ends), np.array(targets).reshape(-1, len(MOUTH)))


def check_phonemes(phonemes: Sequence[Phoneme]) -> None:
    """Raise InputError(phonemes) unless symbols are known and times are in order."""
    last_s = 0.0
    for phoneme in phonemes:
        if phoneme.symbol not in _SHAPES:
            raise InputError(f"no phoneme {phoneme.symbol!r}; known are {', '.join(SYMBOLS)}", code="phonemes")
        if not last_s - 1e-6 <= phoneme.start_s < phoneme.end_s < np.inf:
            raise InputError(
                f"{phoneme} begins before {last_s:.3f} s or does not end after it begins; give phonemes in order, from "
                "0 s on, that do not overlap",
                code="phonemes",
            )
        last_s = phoneme.end_s


def _pieces(phoneme: Phoneme) -> list[tuple[float, float, Array, Array, bool]]:
    shapes = _SHAPES[phoneme.symbol]
    scale = _STRESS_SCALE.get(phoneme.stress, 1.0) if phoneme.symbol in VOWELS else 1.0
    grip = _grip(phoneme.symbol)
    move_s = phoneme.start_s + _MOVE_AT * (phoneme.end_s - phoneme.start_s)
    bounds = (phoneme.start_s, phoneme.end_s) if len(shapes) == 1 else (phoneme.start_s, move_s, phoneme.end_s)
    spans = zip(bounds, bounds[1:], shapes, strict=False)
    return [(start_s, end_s, scale * _shape(shape), grip, False) for start_s, end_s, shape in spans]


def _shape(mixture: dict[str, float]) -> Array:
    return np.array([sum(part * VISEMES[name].get(column, 0.0) for name, part in mixture.items()) for column in MOUTH])


def _grip(symbol: str) -> Array:
    viseme = next(iter(_SHAPES[symbol][0]))
    jaw, lips, tongue = _VOWEL_GRIP if symbol in VOWELS else _GRIPS.get(viseme, _VOWEL_GRIP)
    parts = {"jaw": jaw, "tongue": tongue}
    return _FAINT.get(symbol, 1.0) * np.array([parts.get(column, lips) for column in MOUTH])
