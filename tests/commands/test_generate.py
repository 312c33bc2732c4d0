"""`flashtalk generate`: the film is the picture's and the sound's, and files are treated with care."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate, resample_poly

from flashtalk.commands import generate
from flashtalk.commands.console import UNEXPECTED_STATUS
from flashtalk.commands.film_sound import TRACK_RATE, Track
from flashtalk.config import Config
from flashtalk.errors import CheckpointError
from flashtalk.serving.journal import Journal
from tests.commands.kit import NEW_FRAMES, Kit, flashtalk, make_kit, voice
from tests.media.films import decode

MILLISECOND = TRACK_RATE // 1000
MAX_SHIFT_S = 0.05


@pytest.fixture
def kit(tmp_path: Path, tiny_config: Config) -> Kit:
    return make_kit(tmp_path, tiny_config, voice(0.6))


def shift_and_likeness(sound_S: np.ndarray, original_S: np.ndarray) -> tuple[int, float]:
    """By how many samples `sound` comes late, and the correlation there."""
    count = min(len(sound_S), len(original_S))
    a, b = sound_S[:count] - sound_S[:count].mean(), original_S[:count] - original_S[:count].mean()
    both = correlate(a, b, "full", "fft") / np.sqrt((a @ a) * (b @ b))
    peak = int(np.argmax(both))
    return peak - (count - 1), float(both[peak])


@pytest.mark.parametrize(("rate", "channels"), [(22050, 1), (44100, 2), (16000, 1), (48000, 2)])
def test_the_film_has_the_sounds_length_and_quality(
    tmp_path: Path, tiny_config: Config, rate: int, channels: int
) -> None:
    seconds = 2.03
    samples = voice(seconds, rate, channels)
    kit = make_kit(tmp_path, tiny_config, samples, rate)
    assert flashtalk(*kit.arguments("--quiet")) == 0
    film = decode(kit.film)
    assert film.frames_FHWC.shape == (51, 64, 64, 3)
    assert film.frame_times_s == [Fraction(n, 25) for n in range(51)]
    assert len(film.sound_CS) == channels
    first = round(film.sound_start_s * TRACK_RATE)
    sound_CS = film.sound_CS[:, max(0, -first) :]
    assert max(first, 0) == 0
    assert abs(sound_CS.shape[1] - seconds * TRACK_RATE) <= TRACK_RATE / 25
    for own_S, original_S in zip(sound_CS, samples.reshape(len(samples), -1).T, strict=True):
        shift, likeness = shift_and_likeness(own_S, resample_poly(original_S, TRACK_RATE, rate))
        assert abs(shift) <= MILLISECOND
        assert likeness > 0.98


@pytest.mark.parametrize("frames", [0.1, 1, NEW_FRAMES - 0.01, NEW_FRAMES, NEW_FRAMES + 0.01, 25, 26.5])
@pytest.mark.parametrize("lookahead", [0, 10])
def test_every_length_is_kept(tmp_path: Path, tiny_config: Config, frames: float, lookahead: int) -> None:
    kit = make_kit(tmp_path, tiny_config, voice(frames / 25, 16000), 16000)
    assert flashtalk(*kit.arguments("--quiet", "--set", f"stream.lookahead_frames={lookahead}")) == 0
    film = decode(kit.film)
    assert len(film.frames_FHWC) == int(np.ceil(frames))
    assert film.duration_s is not None
    assert abs(film.duration_s - Fraction(frames) / 25) <= Fraction(1, 25)


def test_all_samples_of_the_track_are_handed_out_once(tmp_path: Path) -> None:
    samples = voice(1.77, 44100, 2)
    soundfile.write(tmp_path / "voice.wav", samples, 44100, subtype="FLOAT")
    path = str(tmp_path / "voice.wav")
    whole = Track(path, 2, 25).take_rest()
    track, later = Track(path, 2, 25), Track(path, 2, 25, first_frame=15)
    pieces = [track.take(7), track.take(8), track.take(1)]
    assert [len(piece) for piece in pieces] == [7 * 1920, 8 * 1920, 1920]
    np.testing.assert_array_equal(np.concatenate((*pieces, track.take_rest())), whole)
    np.testing.assert_array_equal(later.take(1), pieces[-1])
    assert len(whole) == round(1.77 * TRACK_RATE)


def test_every_sample_of_the_sound_is_in_the_film(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    # One sample more than ten whole frames have.
    samples = voice((10 * 44100 // 25 + 1) / 44100, 44100)
    soundfile.write(kit.audio, samples, 44100, subtype="FLOAT")
    written, write = [], generate.Mp4Writer.write

    def watch(film: generate.Mp4Writer, frames_FHWC: np.ndarray, samples: np.ndarray) -> None:
        written.append((len(frames_FHWC), len(samples)))
        write(film, frames_FHWC, samples)

    monkeypatch.setattr(generate.Mp4Writer, "write", watch)
    assert flashtalk(*kit.arguments("--quiet")) == 0
    assert written == [(8, 8 * 1920), (2, 2 * 1920 + 1)]


def test_the_same_command_gives_the_same_film_and_another_seed_another(kit: Kit) -> None:
    films = []
    for options in ([], ["--overwrite"], ["--overwrite", "--seed", "1"]):
        assert flashtalk(*kit.arguments("--quiet", *options)) == 0
        films.append(kit.film.read_bytes())
    assert films[0] == films[1] != films[2]


def test_the_size_is_snapped_and_said(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk(*kit.arguments("--size", "70x90")) == 0
    assert "size 70x90 becomes 64x96" in capsys.readouterr().err
    assert decode(kit.film).frames_FHWC.shape[1:3] == (96, 64)


def test_what_is_said(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk(*kit.arguments()) == 0
    said = capsys.readouterr()
    assert "untrained: random weights, the picture will be noise" in said.err
    assert "chunk 1 in" in said.err
    assert "frame 15/15" in said.err
    (result,) = said.out.splitlines()
    for words in ("film.mp4: 0.60 s, 15 frames in", " fps, ", "real-time factor", "peak memory", " MB"):
        assert words in result
    assert flashtalk(*kit.arguments("--overwrite", "--quiet")) == 0
    assert capsys.readouterr() == ("", "")


def test_verbose_logs_the_stages_of_every_chunk(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    assert flashtalk(*kit.arguments("--quiet")) == 0
    assert not caplog.messages
    assert flashtalk(*kit.arguments("--quiet", "--overwrite", "--verbose")) == 0
    assert [line.split(",")[0] for line in caplog.messages] == ["chunk 0", "chunk 1"]
    assert all("'denoise'" in line for line in caplog.messages)


def test_a_film_is_replaced_only_when_asked_and_only_when_complete(
    kit: Kit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.film.write_bytes(b"precious")
    assert flashtalk(*kit.arguments()) == 3
    assert "--overwrite" in capsys.readouterr().err
    assert kit.film.read_bytes() == b"precious"

    seen, write = [], generate.Mp4Writer.write

    def watch(film: generate.Mp4Writer, frames_FHWC: np.ndarray, samples: np.ndarray) -> None:
        seen.append(kit.film.read_bytes())
        write(film, frames_FHWC, samples)

    monkeypatch.setattr(generate.Mp4Writer, "write", watch)
    assert flashtalk(*kit.arguments("--overwrite", "--quiet")) == 0
    assert set(seen) == {b"precious"}
    assert len(decode(kit.film).frames_FHWC) == 15
    assert kit.left() == []


def broken(name: str, data: bytes) -> Callable[[Kit], Path]:
    def make(kit: Kit) -> Path:
        (kit.folder / name).write_bytes(data)
        return kit.folder / name

    return make


BAD_INPUTS = {
    "no portrait": ("--portrait", lambda kit: kit.folder / "nobody.png", "cannot be opened"),
    "portrait is text": ("--portrait", broken("a.png", b"hello"), "not a picture"),
    "portrait is a folder": ("--portrait", lambda kit: kit.folder, "Is a directory"),
    "portrait is an address": ("--portrait", lambda kit: "https://example.com/a.png", "looks like an address"),
    "no sound": ("--audio", lambda kit: kit.folder / "nothing.wav", "cannot be opened"),
    "sound is empty": ("--audio", broken("a.wav", b""), "is empty"),
    "sound is a picture": ("--audio", lambda kit: kit.portrait, ""),
    "no folder": ("--output", lambda kit: kit.folder / "none" / "film.mp4", "does not exist"),
    "no film's name": ("--output", lambda kit: kit.folder / "film.avi", ".mp4"),
    "film is a folder": ("--output", lambda kit: kit.folder, ""),
}


@pytest.mark.parametrize(("option", "make", "words"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_inputs_are_told_in_a_line_and_leave_nothing(
    kit: Kit, capsys: pytest.CaptureFixture[str], option: str, make: Callable[[Kit], object], words: str
) -> None:
    given = str(make(kit))
    before = sorted(kit.folder.rglob("*"))
    assert flashtalk(*kit.arguments(option, given)) == 3
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert str(kit.folder) not in line
    assert sorted(kit.folder.rglob("*")) == before


def test_silence_that_lasts_no_time_is_refused(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    soundfile.write(kit.audio, np.zeros(1, np.float32), 48000)
    assert flashtalk(*kit.arguments()) == 3
    assert "give a longer one" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["film.mp4", "film.part.mp4"])
def test_a_film_never_overwrites_what_it_is_made_of(kit: Kit, capsys: pytest.CaptureFixture[str], name: str) -> None:
    source = kit.audio.rename(kit.folder / name)
    before = source.read_bytes()
    assert flashtalk(*kit.arguments("--overwrite", "--audio", str(source))) == 3
    assert "choose another name" in capsys.readouterr().err
    assert source.read_bytes() == before


BAD_SETTINGS = {
    "steps": (["--steps", "3"], "distilled for 4, 2 steps"),
    "size": (["--size", "big"], "--size big"),
    "size 0": (["--size", "0x99999999"], "--size 0x99999999"),
    "set": (["--set", "stream.steps"], "section.name=value"),
    "unknown": (["--set", "stream.stepz=2"], "did you mean 'stream.steps'"),
    "yaml": (["--set", "stream.steps=[2"], "not valid YAML"),
    "type": (["--set", "stream.steps=many"], "must be int"),
    "config": (["--config", "nothing"], "no config 'nothing'"),
    "device": (["--set", "runtime.device=cuda:77"], "is not here"),
}


@pytest.mark.parametrize(("options", "words"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings_are_told_and_leave_nothing(
    kit: Kit, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert flashtalk(*kit.arguments("--quiet", *options)) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert kit.left() == []


def test_missing_weights_have_their_own_status(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    (kit.folder / "weights").mkdir()
    options = ["--set", f"checkpoint.source={kit.folder / 'weights'}"]
    assert flashtalk(*kit.arguments("--quiet", *options)) == CheckpointError.exit_status
    assert "flashtalk convert" in capsys.readouterr().err
    assert kit.left() == ["weights"]


def test_our_own_mistakes_are_told_without_a_traceback(
    kit: Kit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_config: Config, **_options: bool) -> None:
        raise ValueError("wires [crossed]")

    monkeypatch.setattr(generate, "connect", fail)
    assert flashtalk(*kit.arguments()) == UNEXPECTED_STATUS
    said = capsys.readouterr().err
    assert "unexpected ValueError: wires [crossed]; run with --verbose" in said
    assert "Traceback" not in said
    assert kit.left() == []
    assert flashtalk(*kit.arguments("--verbose")) == UNEXPECTED_STATUS
    assert "Traceback" in capsys.readouterr().err
    assert logging.getLogger("flashtalk").isEnabledFor(logging.DEBUG)


def test_several_ranks_make_the_film_of_one(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk(*kit.arguments("--quiet")) == 0
    alone_FHWC = decode(kit.film).frames_FHWC.astype(int)
    assert flashtalk(*kit.arguments("--overwrite", "--set", "parallel.ranks=2")) == 0
    assert "peak memory" not in capsys.readouterr().out, "that is the ranks'"
    together_FHWC = decode(kit.film).frames_FHWC
    assert together_FHWC.shape == alone_FHWC.shape
    assert np.abs(together_FHWC - alone_FHWC).mean() < 0.5
    assert kit.left() == []


def test_the_journal_is_written_every_few_chunks(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, write = [], Journal.write

    def watch(journal: Journal, entry: generate.Entry, *session: object) -> None:
        frames.append(entry.frames)
        write(journal, entry, *session)

    monkeypatch.setattr(Journal, "write", watch)
    soundfile.write(kit.audio, voice(2.0), 22050)
    assert flashtalk(*kit.arguments("--quiet")) == 0
    assert frames == [0, 4 * NEW_FRAMES, 50]
    monkeypatch.setattr(generate, "JOURNAL_S", 0.0)
    frames.clear()
    assert flashtalk(*kit.arguments("--quiet", "--overwrite")) == 0
    assert frames == [0, 8, 16, 24, 32, 40, 48, 50, 50]
