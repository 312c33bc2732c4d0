"""Laws of the alignment, on hearing that is made up: who says what when is known exactly."""

import ctypes.util
from pathlib import Path

import numpy as np
import pytest

from flashtalk.errors import ConfigError, InputError
from train.phones import open_phone_reader
from train.synthetic.align import HOP_S, align
from train.synthetic.espeak import SpeechMaker
from train.synthetic.phonemes import SYMBOLS, Phoneme
from train.synthetic.prompts import SPEAKERS, aligned, human_utterances, recordings
from train.synthetic.voices import EspeakVoice

WORDS = ["HH", "AH", "L", "OW", "W", "ER", "L", "D"]
OTHER = ["S", "IY", "SH", "AA", "K", "M", "UW", "N"]


def heard(said: list[tuple[str, int]], lead: int = 12, tail: int = 9, noise: float = 1.0) -> np.ndarray:
    """Log-probabilities of (symbol, rows) one after the other between silences, "" for a pause, with some doubt."""
    classes = (
        [0] * lead + [1 + SYMBOLS.index(name) if name else 0 for name, rows in said for _ in range(rows)] + [0] * tail
    )
    logits = np.random.default_rng(0).normal(0, noise, (len(classes), 1 + len(SYMBOLS)))
    logits[np.arange(len(classes)), classes] += 5
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def told(symbols: list[str]) -> list[Phoneme]:
    """Phonemes in this order, at times of no account."""
    return [Phoneme(symbol, 0.0, 0.0, index % 2) for index, symbol in enumerate(symbols)]


def test_known_times_come_back() -> None:
    lengths = [5, 9, 4, 14, 7, 11, 6, 5]
    found = align(heard(list(zip(WORDS, lengths, strict=True))), told(WORDS))
    assert found is not None
    starts = (12 + np.cumsum([0, *lengths])) * HOP_S
    assert [phoneme.symbol for phoneme in found.phonemes] == WORDS
    assert [phoneme.stress for phoneme in found.phonemes] == [0, 1] * 4
    assert np.abs([phoneme.start_s for phoneme in found.phonemes] - starts[:-1]).max() <= 0.0201
    assert found.phonemes[-1].end_s == pytest.approx(starts[-1], abs=0.0201)


def test_a_pause_between_words_belongs_to_none_of_them() -> None:
    said = [("HH", 5), ("AH", 9), ("L", 5), ("OW", 9), ("", 30), ("W", 5), ("ER", 9), ("L", 5), ("D", 5)]
    found = align(heard(said), told(WORDS))
    assert found is not None
    assert found.phonemes[4].start_s - found.phonemes[3].end_s == pytest.approx(0.3, abs=0.03)


def test_other_words_are_not_trusted() -> None:
    rows = heard([(symbol, 8) for symbol in WORDS])
    own, other = align(rows, told(WORDS)), align(rows, told(OTHER))
    assert own is not None
    assert other is not None
    assert own.confidence > -0.2
    assert other.confidence < -2


def test_a_sound_too_short_for_its_words_is_refused() -> None:
    assert align(heard([("AH", 5)], lead=1, tail=1), told(WORDS)) is None


@pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_recording_is_kept_with_its_own_words_alone() -> None:
    maker, samples = SpeechMaker(), np.zeros(16000, np.float32)
    said = [(phoneme.symbol, 8) for phoneme in maker.speak("Good morning.", EspeakVoice("en-us")).phonemes]
    kept = aligned(maker, lambda _: heard(said), SPEAKERS[0], samples, "Good morning.")
    assert kept is not None
    assert (kept.voice, kept.split, kept.source) == ("human:Allison Smith", "test", "human")
    assert aligned(maker, lambda _: heard(said), SPEAKERS[0], samples, "Bad evening.") is None


def test_stamps_are_told_by_the_text_beside_them(tmp_path: Path) -> None:
    (tmp_path / "animals").mkdir()
    for name in ("frog_desc_fr.ogg", "frog_desc_es.ogg", "frog_desc_xx.ogg", "mute_desc_fr.ogg"):
        (tmp_path / "animals" / name).touch()
    (tmp_path / "animals" / "frog.txt").write_text("A frog.\nfr.utf8=Une grenouille.\nes.utf8=\n", "utf-8")
    found = list(recordings(root=tmp_path, stamps=tmp_path))
    assert [(one.speaker.name, one.text) for one in found] == [("Tux Paint's fr", "Une grenouille.")]


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="apt-get install asterisk-core-sounds"):
        next(human_utterances(None, None, root=tmp_path, stamps=tmp_path))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"train\.voice"):
        open_phone_reader(tmp_path)
