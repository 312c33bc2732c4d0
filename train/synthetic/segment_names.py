"""What festival's and flite's voices call their sounds, as our symbols. Called by synthetic/recorded."""

from __future__ import annotations

from train.synthetic.phonemes import SYMBOLS

_SILENCES = frozenset({"pau", "#", "##", "h#", "brth", "ssil", "sil", "_", "0"})

_ENGLISH = {"dx": "D", "nx": "N"}
_ITALIAN = {
    "axr": "ER", "e": "EY", "e1": "EY", "E": "EH", "E1": "EH", "a": "AA", "a1": "AA", "i": "IY", "i1": "IY",
    "o": "OW", "o1": "OW", "O": "AO", "O1": "AO", "u": "UW", "u1": "UW", "j": "Y", "dZ": "JH", "tS": "CH",
    "S": "SH", "J": "NY", "L": "LY", "r": "RR", "nf": "NG", "ng": "NG", "ts": "TS", "dz": "DZ", "ll": "L",
    "nn": "N", "mm": "M",
}  # fmt: skip
_CATALAN = _ITALIAN | {
    "e": "EH", "e1": "EH", "o": "AO", "o1": "AO", "ax": "AX", "rr": "RR", "Z": "ZH", "z": "Z", "uw": "UW", "iw": "IY",
}  # fmt: skip
_CZECH = {
    "a": "AA", "a:": "AA", "e": "EH", "e:": "EH", "i": "IH", "i:": "IY", "o": "AO", "o:": "AO", "u": "UH", "u:": "UW",
    "au": "AW", "ou": "OW", "eu": "EH", "c": "TS", "c~": "CH", "s~": "SH", "z~": "ZH", "r~": "RR", "r~*": "RR",
    "r": "RR", "ch": "X", "h": "HH", "j": "Y", "n~": "NY", "n*": "NG", "t~": "T", "d~": "D", "dz": "DZ",
    "dz~": "JH",
}  # fmt: skip
_FINNISH = {
    "a": "AA", "e": "EH", "i": "IY", "o": "AO", "u": "UW", "y": "UE", "@": "AE", "{": "AE", "2": "OE", "7": "OE",
    "r": "RR", "j": "Y", "h": "HH", "S": "SH", "Z": "ZH", "T": "TH", "D": "DH", "L": "LY", "N": "NG",
}  # fmt: skip
_RUSSIAN = {
    "aa": "AA", "a": "AX", "ay": "AX", "ae": "IH", "ee": "EH", "e": "IH", "ii": "IY", "i": "IY", "yy": "IX",
    "y": "IX", "oo": "AO", "uu": "UW", "u": "UW", "ur": "UH", "j": "Y", "c": "TS", "ch": "CH", "sch": "SH",
    "h": "X", "hh": "X", "r": "RR", "rr": "RR",
}  # fmt: skip
_NAMES = {"en": _ENGLISH, "it": _ITALIAN, "ca": _CATALAN, "cs": _CZECH, "fi": _FINNISH, "ru": _RUSSIAN}


def symbol_of(name: str, language: str) -> str:
    """A voice's name for a sound -> one of SYMBOLS, "" for silence and for names that we do not know.

    A mark of length (`:`) makes no other mouth, nor does a letter written twice: long in Italian, soft in Russian.
    """
    if name in _SILENCES:
        return ""
    known = _NAMES.get(language.split("-", maxsplit=1)[0], {})
    single = name[0] if name == 2 * name[0] else name
    for tried in (name, name.rstrip(":"), single):
        if tried in known:
            return known[tried]
        if tried.upper() in SYMBOLS:
            return tried.upper()
    return ""
