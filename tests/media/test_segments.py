"""Laws of transport-stream segments: they join to one film without seams, gaps or drift, whatever the cuts."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from flashtalk.errors import InputError
from flashtalk.media.encode import MediaFormat
from flashtalk.media.label import label_frames
from flashtalk.media.segments import Segment, SegmentStream, join_segments

RATE, FPS = 48000, 25


def tone(frames: int, channels: int = 1) -> np.ndarray:
    time_s = np.arange(frames * RATE // FPS) / RATE
    return np.repeat(0.3 * np.sin(2 * np.pi * 440 * time_s)[:, None], channels, axis=1).astype(np.float32)


def counted(frames: int) -> np.ndarray:
    """Grey frames whose level says which they are."""
    levels = (8 + 4 * (np.arange(frames) % 60)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, 64, 64, 3)).copy()


def film(cuts: list[int], channels: int = 1) -> list[Segment]:
    stream = SegmentStream(MediaFormat(width=64, height=64, sample_rate=RATE, channels=channels))
    total = sum(cuts)
    frames, sound, start, made = counted(total), tone(total, channels), 0, []
    for cut in cuts:
        end = start + cut
        samples = sound[start * RATE // FPS : end * RATE // FPS]
        made.append(stream.encode(frames[start:end], samples, last=end == total))
        start = end
    return made


def packet_times(path: Path, kind: str) -> np.ndarray:
    with av.open(str(path)) as opened:
        return np.array([float(f.pts * f.time_base) for f in opened.decode(**{kind: 0})])


@pytest.mark.parametrize("cuts", [[28, 28, 28], [12, 28, 28, 16], [1, 28, 55], [84]])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_film_has_every_frame_and_all_the_sound(cuts: list[int], channels: int, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    join_segments((segment.data for segment in film(cuts, channels)), path)
    np.testing.assert_allclose(packet_times(path, "video"), np.arange(84) / FPS, atol=1e-6)
    with av.open(str(path)) as opened:
        levels = [frame.to_ndarray(format="rgb24").mean() for frame in opened.decode(video=0)]
        sound = opened.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(84 / FPS, abs=0.03)
    np.testing.assert_allclose(levels, counted(84).mean(axis=(1, 2, 3)), atol=3)


def test_sound_has_no_seams(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    join_segments((segment.data for segment in film([28, 28, 28])), path)
    with av.open(str(path)) as opened:
        heard = np.concatenate([frame.to_ndarray() for frame in opened.decode(audio=0)], axis=1)[0]
    steepest = np.abs(np.diff(tone(84)[:, 0])).max()
    assert np.abs(np.diff(heard[4096:-4096])).max() < 1.1 * steepest


def test_each_segment_plays_alone_and_continues_the_one_before() -> None:
    starts = []
    for segment in film([28, 28, 28]):
        with av.open(io.BytesIO(segment.data), format="mpegts") as opened:
            pictures = list(opened.decode(video=0))
        assert len(pictures) == 28
        assert pictures[0].key_frame
        starts.append(float(pictures[0].pts * pictures[0].time_base))
        assert segment.duration_s == 28 / FPS
    np.testing.assert_allclose(np.diff(starts), 28 / FPS, atol=1e-4)


def test_the_same_frames_give_the_same_bytes() -> None:
    assert [segment.data for segment in film([28, 28])] == [segment.data for segment in film([28, 28])]


def test_continuity_counters_run_through() -> None:
    last: dict[int, int] = {}
    for packet in (
        data[at : at + 188] for data in (s.data for s in film([28, 28, 5])) for at in range(0, len(data), 188)
    ):
        stream, has_payload, count = (packet[1] & 31) << 8 | packet[2], packet[3] & 16, packet[3] & 15
        if has_payload:
            assert count == (last.get(stream, count - 1) + 1) % 16
            last[stream] = count


def test_no_frames_are_no_film(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No frame"):
        join_segments([], tmp_path / "film.mp4")


def test_the_label_is_in_one_corner_only() -> None:
    frames = np.full((2, 256, 256, 3), 120, np.uint8)
    labelled = label_frames(frames)
    changed = (labelled != frames).any(axis=(0, 3))
    rows, columns = np.nonzero(changed)
    assert changed.any()
    assert rows.min() > 200
    assert columns.max() < 128
    assert (frames == 120).all(), "the model's own frames stay as they are"
