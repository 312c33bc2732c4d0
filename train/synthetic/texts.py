"""Sentences to say: grammars of our own, expanded at random and split by text. Called by the corpus.

A grammar is lines `name = one | two {other} | ...`, first line `S`; `{10-99}` is a number. A word may carry the
spelling that the synthesiser reads: 茶/cha2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from flashtalk.errors import InputError
from train.synthetic import grammar_cmn, grammar_en, grammar_more
from train.synthetic.phonemes import SPLITS

_GRAMMARS = {"en": grammar_en.ENGLISH, "cmn": grammar_cmn.MANDARIN, **grammar_more.GRAMMARS}
_SLOT = re.compile(r"\{([^{}]+)\}")
_NUMBER = re.compile(r"(\d+)-(\d+)$")
_BUCKETS = {"validation": (0,), "test": (1, 2)}
"""Of twenty; every other bucket is train."""

Grammar = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Sentence:
    """`text` as written, `spoken` as the synthesiser of `language` reads it (pinyin; elsewhere the text itself)."""

    text: str
    spoken: str
    language: str

    @property
    def split(self) -> str:
        """The split that this text belongs to, by its hash: the same text is never in two."""
        bucket = hashlib.sha256(self.text.encode()).digest()[0] % 20
        return next((split for split, buckets in _BUCKETS.items() if bucket in buckets), "train")


def languages() -> tuple[str, ...]:
    """Languages that there are sentences in."""
    return tuple(_GRAMMARS)


def sentences(language: str, split: str, rng: np.random.Generator) -> Iterator[Sentence]:
    """Endless sentences of one split, drawn with `rng`. InputError `language` or `split` for others than there are."""
    if language not in _GRAMMARS:
        raise InputError(f"no sentences in {language!r}; there are {', '.join(_GRAMMARS)}", code="language")
    if split not in SPLITS:
        raise InputError(f"split {split!r}: give one of {', '.join(SPLITS)}", code="split")
    grammar = _parsed(language)
    while True:
        sentence = _sentence(_expanded(grammar, "S", rng), language)
        if sentence.split == split:
            yield sentence


@cache
def _parsed(language: str) -> Grammar:
    lines = re.sub(r"\n\s+\|", " |", _GRAMMARS[language]).strip().splitlines()
    rules = (line.split("=", 1) for line in lines if "=" in line)
    return {name.strip(): tuple(choice.strip() for choice in body.split("|")) for name, body in rules}


def _expanded(grammar: Grammar, name: str, rng: np.random.Generator) -> str:
    choices = grammar[name]
    chosen = choices[int(rng.integers(len(choices)))]
    return _SLOT.sub(lambda slot: _filled(grammar, slot.group(1), rng), chosen)


def _filled(grammar: Grammar, slot: str, rng: np.random.Generator) -> str:
    number = _NUMBER.match(slot)
    if number:
        return str(rng.integers(int(number.group(1)), int(number.group(2)) + 1))
    return _expanded(grammar, slot, rng)


def _sentence(raw: str, language: str) -> Sentence:
    if "/" not in raw:
        text = re.sub(r"\s+([,.?!;:])", r"\1", " ".join(raw.split()))
        text = re.sub(r"(^|[.!?] )(\w)", lambda first: first.group(1) + first.group(2).upper(), text)
        return Sentence(text, text, language)
    pairs = [word.partition("/") for word in raw.split()]
    written = "".join(word for word, _, _ in pairs)
    spoken = " ".join(sound or _ASCII.get(word, word) for word, _, sound in pairs)
    return Sentence(written, re.sub(r"\s+([,.?!])", r"\1", spoken), language)


_ASCII = {"，": ",", "。": ".", "？": "?", "！": "!", "、": ","}
