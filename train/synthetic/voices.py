"""Which synthetic voices there are and which split each belongs to. Called by espeak, festival and the corpus.

A speaker is an espeak-ng variant (its formants, pitch and breath) or a recorded festival voice; no speaker is in two
splits. The languages in `_TEST_LANGUAGES` are heard in the test split only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashtalk.errors import InputError
from train.synthetic.phonemes import SPLITS

ENGLISH = ("en-us", "en", "en-us-nyc", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-gb-x-gbclan", "en-gb-scotland", "en-029")
MANDARIN = "cmn-latn-pinyin"
_TAGS = {MANDARIN: "cmn", "en": "en-gb"}

LANGUAGES: dict[str, tuple[str, ...]] = {
    "en": ENGLISH,
    "cmn": (MANDARIN,),
    "es": ("es", "es-419"),
    "fr": ("fr", "fr-be", "fr-ch"),
    "de": ("de",),
    "it": ("it",),
    "pt": ("pt-br", "pt"),
    "ru": ("ru",),
    "ja": ("ja",),
    "hi": ("hi",),
}
"""Language of texts -> espeak-ng's voices (accents) for it."""

_SHARES = {"en": 0.42, "cmn": 0.28, "es": 0.06, "fr": 0.06, "de": 0.05, "it": 0.04, "pt": 0.03, "ru": 0.03, "ja": 0.02}
_TEST_LANGUAGES = {"hi": 0.08}

_VARIANTS = {
    "test": "f5 m7 linda michel benjamin",
    "validation": "f4 m6 Annie Michael",
    "train": """f1 f2 f3 m1 m2 m3 m4 m5 m8 klatt klatt2 klatt4 Alex Alicia Andrea Andy Denis Diogo Gene Gene2
        Henrique Hugo Jacky Lee Marco Mario Mike Nguyen adam anika antonio aunty belinda boris caleb david
        ed edward grandma grandpa gustave iven2 john kaukovalta marcelo max miguel norbert pablo paul
        pedro quincy robert sandro shelby steph steph2 travis victor zac""",
}


@dataclass(frozen=True)
class EspeakVoice:
    """One espeak-ng voice: `language` as espeak-ng names it, `variant` "" or a file of voices/!v, and how it speaks.

    rate_wpm 80..450 words a minute, pitch and pitch_range 0..99 (50 is the voice's own).
    """

    language: str
    variant: str = ""
    rate_wpm: int = 170
    pitch: int = 50
    pitch_range: int = 50

    @property
    def name(self) -> str:
        """As espeak-ng takes it: "en-us+f2"."""
        return f"{self.language}+{self.variant}" if self.variant else self.language

    @property
    def tag(self) -> str:
        """BCP-47 tag of the language."""
        return _TAGS.get(self.language, self.language)


def variants(split: str) -> tuple[str, ...]:
    """espeak-ng's variants of a split; the plain voice ("") is in train. InputError `split`."""
    if split not in SPLITS:
        raise InputError(f"split {split!r}: give one of {', '.join(SPLITS)}", code="split")
    names = tuple(_VARIANTS[split].split())
    return ("", *names) if split == "train" else names


def draw_language(rng: np.random.Generator, split: str) -> str:
    """A key of LANGUAGES: mostly English and Mandarin; Hindi in the test split only."""
    shares = {**_SHARES, **_TEST_LANGUAGES} if split == "test" else _SHARES
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def draw_voice(rng: np.random.Generator, split: str, language: str) -> EspeakVoice:
    """A voice of the split for a language of LANGUAGES, with a rate, pitch and range of its own."""
    return EspeakVoice(
        language=str(rng.choice(LANGUAGES[language])),
        variant=str(rng.choice(variants(split))),
        rate_wpm=int(rng.integers(125, 225)),
        pitch=int(rng.integers(35, 76)),
        pitch_range=int(rng.integers(30, 71)),
    )
