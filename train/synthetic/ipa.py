"""From the International Phonetic Alphabet to our inventory, for all languages at once. Called by espeak."""

from __future__ import annotations

import re
import unicodedata

_TABLE = """
i IY, ɪ IH, ᵻ IH, e EY, ɛ EH, æ AE, a AA, ɑ AA, ɒ AO, ɔ AO, o OW, ʊ UH, u UW, ʌ AH, ɐ AH, ə AX, ɘ AX, ɜ ER, ɚ ER, ɝ ER
ɨ IX, ɯ IX, ʉ UW, y UE, ʏ UE, ø OE, œ OE, ɵ UH, ɤ AX, ä AA, ɑu AW, au AW, aʊ AW, aɪ AY, ai AY, ɑɪ AY, eɪ EY
ei EY, oʊ OW, əʊ OW, ou OW, ʌʊ OW, ʌʉ OW, əʉ OW, ɔɪ OY, ɔø OY, ɔʏ OY, oɪ OY, œy OY, o- AX, u- IX, a- AA, ə- AX
i̪ IX, i. IX, əɹ ER, ər ER, ɜɹ ER, aa AA, ɐɪ AY, æɪ EY, æʊ AW, oi OY, ui UW Y, əɪ EY, ɛɪ EY, io Y OW, iou Y OW
ia Y AA, iɑ Y AA, iɛ Y EH, ie Y EH, iə IH AX, ua W AA, uɑ W AA, uo W AO, uə W AX, ʊə UH AX, uai W AY, uei W EY
yɛ UE EH, yæ UE AE, yə UE AX, yu Y UH, ju Y UW, ea EH AA, eə EH AX, oə AO AX, aɪə AY AX, aɪɚ AY ER, aʊə AW AX
aʊɚ AW ER, ɪɹ IH R, ɛɹ EH R, ʊɹ UH R, ɔɹ AO R, ɑɹ AA R, ʉɹ UW R, oɹ OW R, əl AX L, p P, b B, t T, d D, k K, ɡ G
g G, c K, ɟ G, q K, ʈ T, ɖ D, ʔ Q, m M, ɱ M, n N, ɳ N, ɲ NY, ŋ NG, ɴ NG, f F, v V, ʋ V, ɸ F, β B, θ TH, ð DH
s S, z Z, ʃ SH, ʒ ZH, ʂ SH, ʐ ZH, ɕ SH, ʑ ZH, ç HH, ʝ Y, x X, χ X, ɣ X, ʁ X, h HH, ɦ HH, ħ HH, ʕ Q, l L, ɫ L
ɭ L, ɬ L, ʎ LY, ɹ R, ɻ R, r RR, ɾ RR, ɽ RR, ʀ X, ɺ RR, j Y, w W, ɥ WY, ɰ X, ʍ W, tʃ CH, dʒ JH, tɕ CH, dʑ JH
ts TS, dz DZ, ts. CH, s. SH, ʈʂ CH, ɖʐ JH, r. RR, n. N, l. L, t. T, d. D, pf P F, sx SH, ɧ SH, th T, ph P, kh K
tɕh CH, tsh TS, ts.h CH, hl L, ɐʊ AW
"""
"""IPA as espeak-ng tells it (some letters with its own ASCII marks) -> symbols. The longest match wins."""


def _parsed(table: str) -> dict[str, tuple[str, ...]]:
    entries = (entry.split() for line in table.splitlines() for entry in line.split(",") if entry.strip())
    return {ipa: tuple(symbols) for ipa, *symbols in entries}


_SYMBOLS_OF = {unicodedata.normalize("NFD", ipa): symbols for ipa, symbols in _parsed(_TABLE).items()}
_LONGEST = max(map(len, _SYMBOLS_OF))
_MARKS = re.compile(r"[ˈˌːˑˤʰʱʷ~'ʼ|\d]")
_WEIGHT = {"Y": 0.5, "W": 0.5, "L": 0.7, "R": 0.7, "UE": 0.6}
"""How long the parts of a compound ("uai": W AY) last, of a vowel's 1."""


def symbols_of_ipa(ipa: str) -> tuple[tuple[str, float], ...]:
    """(symbol, its share of the time) of one IPA phoneme as a synthesiser tells it ("tʃ", "aɪ", "uai", "ɐ̃ʊ̃", "iː").

    Length, nasality, aspiration, tone and stress are dropped; letters not known are passed over, so pauses give ().
    """
    plain = _MARKS.sub("", unicodedata.normalize("NFD", ipa).replace("ʲ", "" if len(ipa) > 1 else "j"))
    plain = plain.replace("\u0303", "").replace("\u032a\u0303", "\u032a")
    symbols = _matched(plain)
    weights = [_WEIGHT.get(symbol, 1.0) if len(symbols) > 1 else 1.0 for symbol in symbols]
    return tuple((symbol, weight / sum(weights)) for symbol, weight in zip(symbols, weights, strict=True))


def _matched(plain: str) -> list[str]:
    """Longest matches of the table from the left."""
    found: list[str] = []
    at = 0
    while at < len(plain):
        length = next((n for n in range(_LONGEST, 0, -1) if plain[at : at + n] in _SYMBOLS_OF), 0)
        if length:
            found.extend(_SYMBOLS_OF[plain[at : at + length]])
        at += max(1, length)
    return found


def stress_of_ipa(ipa: str) -> int:
    """1 primary, 2 secondary, 0 none, from the marks ˈ and ˌ."""
    return 1 if "ˈ" in ipa else 2 if "ˌ" in ipa else 0
