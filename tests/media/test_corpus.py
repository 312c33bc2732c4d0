"""The law of input: every file of the corpus gives a clean result or an InputError of the right code within 5 s."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from flashtalk.errors import InputError
from flashtalk.media.audio import read_audio_all
from flashtalk.media.image import open_portrait
from flashtalk.media.limits import AUDIO_LIMITS, IMAGE_LIMITS
from tests.media import corpus
from tests.media.corpus import Case

WITHIN_S = 5.0
CASES = corpus.cases()
GOOD = [case for case in CASES if case.outcomes == corpus.OK]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_file_is_clean_or_refused_by_type(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.make())
    start_s = time.monotonic()
    try:
        value = read_audio_all(path) if case.kind == "audio" else open_portrait(path)
        outcome = "ok"
    except InputError as error:
        outcome, value = error.code, None
        assert_message_is_ours(str(error), tmp_path)
    assert time.monotonic() - start_s < WITHIN_S
    assert not case.outcomes or outcome in case.outcomes
    if value is not None:
        assert_clean(case, value)


def assert_clean(case: Case, value: np.ndarray) -> None:
    if case.kind == "image":
        assert value.dtype == np.uint8
        assert value.ndim == 3
        assert value.shape[2] == 3
    else:
        assert value.dtype == np.float32
        assert value.ndim == 1
        assert np.isfinite(value).all()
        assert np.abs(value).max() <= 1


def assert_message_is_ours(message: str, folder: Path) -> None:
    """No path, no library's words; something to do after a semicolon or colon."""
    assert str(folder) not in message
    assert not any(word in message for word in ("Errno", "avcodec", "FFmpeg", "PIL", "0x", "Traceback", "<none>"))
    assert ";" in message or ":" in message


@pytest.mark.parametrize("case", [case for case in GOOD if case.kind == "audio"], ids=lambda case: case.name)
def test_length_and_level_are_the_originals(case: Case, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.make())
    sound_S = read_audio_all(path).astype(np.float64)
    if case.length_s is not None:
        assert abs(len(sound_S) / 16000 - case.length_s) <= 0.001
    if case.level is not None:
        level = np.sqrt(np.mean(sound_S**2))
        assert case.level * 10**-0.025 <= level <= case.level * 10**0.025


@pytest.mark.parametrize("name", ["wav_s16.wav", "mp3.mp3", "aac.m4a", "opus.webm", "rgb.png", "rgb.jpg", "lossy.webp"])
def test_a_reader_whose_time_is_up_stops(name: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == name)
    path = tmp_path / name
    path.write_bytes(case.make())
    hurried_sound, hurried_picture = replace(AUDIO_LIMITS, patience_s=-1.0), replace(IMAGE_LIMITS, patience_s=-1.0)
    read = (
        partial(read_audio_all, limits=hurried_sound)
        if case.kind == "audio"
        else partial(open_portrait, limits=hurried_picture)
    )
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code == f"{case.kind}_unreadable"
    assert "to its end" in str(caught.value)


def test_the_corpus_is_large_and_its_names_differ() -> None:
    whole = [case for case in CASES if case.outcomes]
    kinds = Counter(case.kind for case in whole)
    assert kinds["audio"] >= 60
    assert kinds["image"] >= 40
    assert len(CASES) >= 300
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_seed_decides_the_damage() -> None:
    def damaged(seed: int) -> list[bytes]:
        return [case.make() for case in corpus.cases(seed, 3) if case.name.endswith("_rgb.png") and not case.outcomes]

    assert damaged(1) == damaged(1)
    assert damaged(1) != damaged(2)
