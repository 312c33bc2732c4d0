"""The whole program as a visitor runs it: the default config, a picture, some speech, an mp4 that plays."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flashtalk.config_file import load_config
from tests.media.films import decode
from tests.source import ROOT

SECONDS = 1.2
FRAMES = 30
PORTRAIT = ROOT / "assets" / "portraits" / "anna.png"
SPEECH = ROOT / "assets" / "speech" / "hello.wav"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    soundfile.write(tmp_path / "speech.wav", samples[: round(SECONDS * rate)], rate)
    return tmp_path / "speech.wav"


def test_a_portrait_speaks(tmp_path: Path, speech: Path) -> None:
    film = tmp_path / "film.mp4"
    inputs = ["--portrait", str(PORTRAIT), "--audio", str(speech), "--output", str(film)]
    program = [sys.executable, "-m", "flashtalk", "generate", *inputs]
    run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr
    assert re.search(rf"film\.mp4: {SECONDS:.2f} s, {FRAMES} frames in [\d.]+ s, [\d.]+ fps", run.stdout)

    stream, seen = load_config().stream, decode(film)
    assert seen.frames_FHWC.shape == (FRAMES, stream.height, stream.width, 3)
    assert seen.frame_times_s == [Fraction(n, stream.fps) for n in range(FRAMES)]
    assert seen.frames_FHWC.std() > 5
    sound_s = Fraction(seen.sound_CS.shape[1], 48000) + seen.sound_start_s
    assert abs(sound_s - Fraction(SECONDS)) <= Fraction(1, stream.fps)
    assert np.abs(seen.sound_CS).max() > 0.01
