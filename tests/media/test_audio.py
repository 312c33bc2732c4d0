"""Laws of sound input: exact length, exact resumption, cleaning before filtering, both sides heard, bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flashtalk.errors import InputError
from flashtalk.media.audio import _blocks, clean_pcm, probe_audio, read_audio, read_audio_all
from flashtalk.media.files import TimedFile
from flashtalk.media.limits import AUDIO_LIMITS
from flashtalk.media.resample import Resampler
from tests.media.corpus import cases
from tests.media.corpus_audio import encoded, mostly_noise, on_channels, s16, tone, wav, written

FILES = {case.name: case for case in cases(mutations=0)}


def file_of(folder: Path, data: bytes, name: str = "sound.wav") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def corpus_file(folder: Path, name: str) -> Path:
    return file_of(folder, FILES[name].make(), name)


def code_of(path: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        list(read_audio(path, **options))
    return caught.value.code


def refusal(samples: object) -> str:
    with pytest.raises(InputError) as caught:
        clean_pcm(samples)
    return caught.value.code


@settings(max_examples=30, deadline=None)
@example(8000, 16000, [5], 1)
@given(
    in_rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 192000]),
    out_rate=st.sampled_from([16000, 48000]),
    pieces=st.lists(st.integers(0, 3000), max_size=6),
    channels=st.sampled_from([1, 2]),
)
def test_resampling_has_exactly_the_right_length(in_rate: int, out_rate: int, pieces: list[int], channels: int) -> None:
    resampler = Resampler(in_rate, out_rate, channels)
    parts = [resampler.push(np.ones((channels, size), np.float32)) for size in pieces] + [resampler.finish()]
    assert sum(part.shape[1] for part in parts) == round(sum(pieces) * out_rate / in_rate)


def test_resampling_neither_delays_nor_colours() -> None:
    time_S = np.arange(44100) / 44100
    resampler = Resampler(44100, 16000, 1)
    wave_CS = np.sin(2 * np.pi * 500 * time_S, dtype=np.float64).astype(np.float32)[None] * 0.5
    out = np.concatenate([resampler.push(wave_CS), resampler.finish()], axis=1)[0]
    wanted = 0.5 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    assert np.abs(out - wanted)[200:-200].max() < 1e-3


@pytest.mark.parametrize("name", ["wav_s16.wav", "mp3.mp3", "aac.m4a", "opus.webm", "flac_51.flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_later_start_gives_the_very_tail(name: str, channels: int, tmp_path: Path) -> None:
    path = corpus_file(tmp_path, name)
    whole = np.concatenate(list(read_audio(path, channels=channels)))
    for start in (0, 1, 1023, len(whole) - 1, len(whole), len(whole) + 5):
        blocks = list(read_audio(path, channels=channels, start_sample=start))
        tail = np.concatenate([whole[:0], *blocks])
        assert tail.tobytes() == whole[start:].tobytes()


def test_blocks_are_one_second_each(tmp_path: Path) -> None:
    path = file_of(tmp_path, wav(s16(tone(44100, 3.5)), 44100))
    assert [len(block) for block in read_audio(path)] == [16000, 16000, 16000, 8000]
    assert [block.shape for block in read_audio(path, sample_rate=48000, channels=2)][-1] == (24000, 2)
    long_frames = file_of(tmp_path, encoded("tta", "tta", 44100, seconds=3.5), "long.tta")
    assert [len(block) for block in read_audio(long_frames, sample_rate=8000)] == [8000, 8000, 8000, 4000]
    assert [len(block) for block in read_audio(long_frames, sample_rate=44100)] == [44100, 44100, 44100, 22050]


@given(st.lists(st.integers(0, 50), max_size=8))
def test_blocks_hold_the_same_samples_whatever_the_pieces(sizes: list[int]) -> None:
    sound_CS = np.arange(2 * sum(sizes), dtype=np.float32).reshape(2, -1)
    blocks = list(_blocks(iter(np.split(sound_CS, np.cumsum(sizes)[:-1], axis=1) if sizes else ()), 7))
    assert np.array_equal(np.concatenate([sound_CS[:, :0], *blocks], axis=1), sound_CS)
    assert all(block.shape[1] == 7 for block in blocks[:-1])
    assert all(0 < block.shape[1] <= 7 for block in blocks)


def test_a_bad_sample_does_not_touch_its_neighbours(tmp_path: Path) -> None:
    clean = tone(48000)
    clean[7000] = 0
    spoiled = clean.copy()
    for bad in (np.nan, np.inf, -np.inf):
        spoiled[7000] = bad
        mended = read_audio_all(file_of(tmp_path, wav(spoiled.astype("<f4").tobytes(), 48000, bits=32, tag=3)))
        plain = read_audio_all(file_of(tmp_path, wav(clean.astype("<f4").tobytes(), 48000, bits=32, tag=3)))
        assert np.array_equal(mended, plain)


def test_a_burst_of_bad_samples_in_a_long_sound_is_mended(tmp_path: Path) -> None:
    sound_S = tone(8000, 30.0)
    sound_S[:400] = np.nan
    path = file_of(tmp_path, wav(sound_S.astype("<f4").tobytes(), 8000, bits=32, tag=3))
    assert len(read_audio_all(path)) == 480000


def test_channels_keep_their_sides(tmp_path: Path) -> None:
    path = corpus_file(tmp_path, "left.wav")
    both = np.concatenate(list(read_audio(path, channels=2)))
    assert np.abs(both[:, 0]).max() > 0.29
    assert np.abs(both[:, 1]).max() == 0
    mono_twice = np.concatenate(list(read_audio(corpus_file(tmp_path, "wavex_51.wav"), channels=2)))
    assert np.array_equal(mono_twice[:, 0], mono_twice[:, 1])
    assert np.abs(mono_twice).max() > 0.29


@pytest.mark.parametrize("channels", [2, 6, 16, 40])
def test_each_single_channel_is_heard(channels: int, tmp_path: Path) -> None:
    for side in (0, channels - 1):
        data = written(on_channels(tone(16000), channels, (side,)) * 3, 16000, "WAV", "FLOAT")
        peak = np.abs(read_audio_all(file_of(tmp_path, data))).max()
        assert peak == pytest.approx(0.9 / channels, rel=0.02)


def test_the_first_of_two_tracks_is_taken(tmp_path: Path) -> None:
    sound_S = read_audio_all(corpus_file(tmp_path, "two_tracks.mp4"))
    assert np.abs(np.fft.rfft(sound_S)).argmax() * 16000 / len(sound_S) == pytest.approx(440, abs=5)


def test_a_rate_that_changes_inside_is_followed(tmp_path: Path) -> None:
    """Two recordings, 44.1 and 22.05 kHz, joined: both are heard at their own pitch."""
    sound_S = read_audio_all(corpus_file(tmp_path, "two_rates.aac"))
    for part in (sound_S[1000:4000], sound_S[-4000:-1000]):
        assert np.abs(np.fft.rfft(part)).argmax() * 16000 / len(part) == pytest.approx(440, abs=10)


def test_probe_reads_the_header(tmp_path: Path) -> None:
    info = probe_audio(corpus_file(tmp_path, "film.mp4"))
    assert (info.container, info.codec, info.sample_rate, info.channels) == ("mov", "aac", 44100, 1)
    assert info.duration_s == pytest.approx(0.3, abs=0.03)
    assert probe_audio(corpus_file(tmp_path, "amr.amr")).codec == "amr_nb"


def test_only_regular_local_files_are_opened(tmp_path: Path) -> None:
    good = corpus_file(tmp_path, "wav_s16.wav")
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    for path in ("http://127.0.0.1:9/a.wav", "concat:a.wav|b.wav", f"file://{good}", "a\0b", "", tmp_path, pipe):
        assert code_of(path) == "audio_unreadable"
    assert code_of(tmp_path / "missing.wav") == "audio_unreadable"
    assert code_of("/dev/zero") == "audio_unreadable"
    link = tmp_path / "link.wav"
    link.symlink_to(good)
    assert len(read_audio_all(link)) == 4800


def test_limits_hold_on_the_header_and_while_decoding(tmp_path: Path) -> None:
    path = file_of(tmp_path, wav(s16(tone(16000, 2.0))))
    raw = file_of(tmp_path, FILES["aac.aac"].make(), "raw.aac")
    assert code_of(path, limits=replace(AUDIO_LIMITS, max_duration_s=1.9)) == "audio_limits"
    assert code_of(path, limits=replace(AUDIO_LIMITS, max_bytes=1000)) == "audio_limits"
    assert code_of(path, limits=replace(AUDIO_LIMITS, max_channels=0)) == "audio_limits"
    assert code_of(raw, limits=replace(AUDIO_LIMITS, max_duration_s=0.2)) == "audio_limits"
    with pytest.raises(InputError, match="lasts longer than 1 s"):
        probe_audio(path, replace(AUDIO_LIMITS, max_duration_s=1.0))
    with pytest.raises(InputError, match="lasts longer than 1 s"):
        read_audio_all(path, max_duration_s=1.0)


def test_a_disk_that_fails_midway_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(tmp_path, wav(s16(tone(16000, 20.0))))
    read = TimedFile.read

    def failing(self: TimedFile, size: int = -1) -> bytes:
        self.failed |= self.tell() > 300_000
        return read(self, size)

    monkeypatch.setattr(TimedFile, "read", failing)
    assert code_of(path) == "audio_unreadable"


def test_a_sound_that_is_mostly_noise_is_given_up_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = mostly_noise(20.0)
    places, read = [], TimedFile.read

    def noted(self: TimedFile, size: int = -1) -> bytes:
        places.append(self.tell())
        return read(self, size)

    monkeypatch.setattr(TimedFile, "read", noted)
    assert code_of(file_of(tmp_path, data, "noise.m4a")) == "audio_unreadable"
    assert places[-1] < len(data) / 2


def test_wrong_wishes_are_refused(tmp_path: Path) -> None:
    path = corpus_file(tmp_path, "wav_s16.wav")
    assert code_of(path, channels=3) == "audio_format"
    assert code_of(path, start_sample=-1) == "audio_format"


LIVE = arrays.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int16, np.int32, np.uint8]),
    st.one_of(st.tuples(st.integers(0, 50)), st.tuples(st.integers(0, 50), st.integers(1, 4))),
)


@given(LIVE)
@settings(max_examples=100, deadline=None)
def test_live_samples_come_out_clean_or_refused(samples: np.ndarray) -> None:
    before = samples.copy()
    if np.count_nonzero(~np.isfinite(samples)) > 0.01 * samples.size:
        assert refusal(samples) == "audio_not_finite"
    else:
        clean = clean_pcm(samples)
        assert clean.dtype == np.float32
        assert clean.shape == samples.shape[:1]
        assert np.isfinite(clean).all()
        assert np.abs(clean).max(initial=0) <= 1
    assert np.array_equal(before, samples, equal_nan=samples.dtype.kind == "f")


@pytest.mark.parametrize(
    ("samples", "wanted"),
    [
        (np.array([-32768, 16384], np.int16), [-1.0, 0.5]),
        (np.array([-(2**31), 2**30], np.int32), [-1.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([3.0, -1e300]), [1.0, -1.0]),
        (np.array([[0.5, -0.5], [1.0, 0.0]]), [0.0, 0.5]),
        (np.array([[9.0, -0.5]]), [0.25]),
        ([0.25, -0.25], [0.25, -0.25]),
        (np.zeros(0, np.float32), []),
    ],
)
def test_live_samples_are_scaled_clipped_and_mixed(samples: object, wanted: list[float]) -> None:
    assert clean_pcm(samples).tolist() == wanted


def test_live_samples_mend_up_to_one_in_a_hundred() -> None:
    samples = np.full(1000, 0.5)
    samples[:10] = np.nan
    assert clean_pcm(samples)[:12].tolist() == [0.0] * 10 + [0.5] * 2
    samples[10] = np.inf
    assert refusal(samples) == "audio_not_finite"


@pytest.mark.parametrize(
    "samples", [0.5, np.zeros((2, 2, 2)), np.zeros((1, 65)), np.zeros(3, bool), ["a"], np.zeros(3, int)]
)
def test_what_is_not_sound_is_refused(samples: object) -> None:
    assert refusal(samples) == "audio_format"


MEASURE = """
import resource, sys
from flashtalk.errors import InputError
from flashtalk.media.audio import read_audio
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(sum(len(block) for block in read_audio(sys.argv[1])), end=" ")
except InputError as error:
    print(error.code, end=" ")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def measured(path: Path) -> tuple[str, int]:
    """What reading gives in a process of its own, and by how many KiB its memory grew."""
    run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    outcome, grown_kib = run.stdout.split()
    return outcome, int(grown_kib)


def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, 8000, 0, "NONE", ""))
        for _ in range(60):
            file.writeframes(bytes(60 * 8000))
    outcome, grown_kib = measured(path)
    assert outcome == str(3600 * 16000)
    assert grown_kib < 40_000


@pytest.mark.parametrize("name", ["rate_1.wav", "rate_4000000.wav", "size_huge.wav"])
def test_a_lying_header_costs_no_memory(name: str, tmp_path: Path) -> None:
    outcome, grown_kib = measured(corpus_file(tmp_path, name))
    assert outcome in ("audio_limits", "4800")
    assert grown_kib < 40_000
