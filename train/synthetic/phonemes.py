"""The phonemes that every source of speech is told in, and a piece of speech with their times. Written by the speech
sources (espeak, festival, prompts), read by motion (phonemes to mouth shapes) and by evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16000
"""Of every Utterance, in Hz."""

Samples = NDArray[np.float32]

SPLITS = ("train", "validation", "test")

VOWELS: dict[str, str] = {
    "AA": "father", "AE": "cat", "AH": "cut", "AO": "thought", "AX": "about (schwa)", "EH": "bed", "ER": "bird",
    "IH": "bit", "IX": "Russian ы, Mandarin shi", "IY": "see", "OE": "German schön, French peu",
    "UE": "French tu, Mandarin yu", "UH": "book", "UW": "too", "AW": "how (ends round)", "AY": "eye (ends spread)",
    "EY": "day (ends spread)", "OW": "go (ends round)", "OY": "boy (round, ends spread)",
}  # fmt: skip
"""Symbol -> an example; ARPAbet with AX, IX, OE, UE added. AW AY EY OW OY are diphthongs and told as one phoneme."""

CONSONANTS: dict[str, str] = {
    "B": "bee", "CH": "chin", "D": "day", "DH": "this", "F": "fee", "G": "go", "HH": "he", "JH": "joy", "K": "key",
    "L": "let", "LY": "Italian gli", "M": "me", "N": "no", "NG": "sing", "NY": "Spanish ñ", "P": "pea",
    "Q": "glottal stop", "R": "English red", "RR": "rolled or tapped r", "S": "see", "SH": "she", "T": "tea",
    "TH": "thin", "TS": "pizza", "DZ": "Italian zero", "V": "vow", "W": "we", "WY": "French huit",
    "X": "German ach", "Y": "yes", "Z": "zoo", "ZH": "vision",
}  # fmt: skip
"""Symbol -> an example; ARPAbet with LY, NY, Q, RR, TS, DZ, WY, X added."""

SYMBOLS: tuple[str, ...] = (*VOWELS, *CONSONANTS)


@dataclass(frozen=True)
class Phoneme:
    """One sound: `symbol` of SYMBOLS, its time in the utterance in seconds, `stress` 0 none, 1 primary, 2 secondary.

    A stop or affricate (B CH D DZ G JH K P T TS) begins where its closure begins, so P and B begin with closed lips.
    """

    symbol: str
    start_s: float
    end_s: float
    stress: int = 0


@dataclass(frozen=True)
class Utterance:
    """Speech or other sound of one voice: `samples` [S] in [-1, 1] at 16 kHz.

    `phonemes` are in order and do not overlap; a gap between them is silence (there is no symbol for it).
    `voice` names the source and the voice ("espeak:en-us+f2"), `split` one of SPLITS, `source` one of espeak, festival,
    flite, human, negative (a negative is not speech and has no phonemes). `language` is a BCP-47 tag, "" for negatives.
    """

    samples: Samples
    phonemes: tuple[Phoneme, ...]
    text: str
    language: str
    voice: str
    split: str
    source: str

    @property
    def duration_s(self) -> float:
        """Length of the sound."""
        return len(self.samples) / SAMPLE_RATE
