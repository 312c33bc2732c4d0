"""Our own finished films, taken apart and put together again without coding anew. Called by span.py."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from flashtalk.errors import EngineError
from flashtalk.media.label import ABOUT
from flashtalk.media.part_file import sync_file, sync_folder
from flashtalk.serving.jobs.record import JobFolder, Span

Timed = tuple[float, int, av.Packet]
"""(seconds, order among equals, packet)"""

_INDEX_BYTES, _INDEX_BYTES_PER_PACKET = 1 << 16, 32
"""At most: of a packet's own, its size takes 4, its place 8, a new run 12, a key picture or another length 8."""


def splice(folder: JobFolder, span: Span, fps: int) -> None:
    """Make the film: the base, with the clip's pictures in place of the span's. Raises OSError, EngineError."""
    temporary = folder.film.with_suffix(".finishing.mp4")
    try:
        _mux(folder, span, fps, temporary)
        sync_file(temporary)
        temporary.replace(folder.film)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(folder.path)


def read_frames(film: Path, first: int, count: int, fps: int) -> np.ndarray:
    """Frames [first, first + count) as uint8 RGB [F, H, W, 3]."""
    frames: list[np.ndarray] = []
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        container.seek(round(first / fps / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if frame.time is not None and round(frame.time * fps) >= first:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == count:
                break
    return np.stack(frames)


def _mux(folder: JobFolder, span: Span, fps: int, target: Path) -> None:
    with (
        av.open(str(folder.base)) as pictures,
        av.open(str(folder.base)) as sounds,
        av.open(str(folder.clip)) as clip,
        av.open(str(target), "w", format="mp4", options=_room_for_index(pictures)) as film,
    ):
        video, new = pictures.streams.video[0], clip.streams.video[0]
        if video.codec_context.extradata != new.codec_context.extradata:
            raise EngineError("The film was made with other encoders; make it anew.", code="encoder_changed")
        film.metadata.update(ABOUT)
        out_video, out_sound = film.add_stream_from_template(video), None
        lanes = [_outside(pictures, span, fps), _inside(clip, span, fps)]
        if sounds.streams.audio:
            out_sound = film.add_stream_from_template(sounds.streams.audio[0])
            lanes.append(_sound(sounds))
        for _, lane, packet in heapq.merge(*lanes, key=lambda timed: timed[:2]):
            packet.stream = out_sound if lane == _SOUND and out_sound else out_video
            film.mux(packet)


def _room_for_index(base: InputContainer) -> dict[str, str]:
    """In front of the film. With `faststart` instead, all of a film of gigabytes would be moved while Python stands
    still, and everybody's talks with it. If it were too little, closing the film would fail.
    """
    packets = sum(stream.frames for stream in base.streams)
    return {"moov_size": str(_INDEX_BYTES + _INDEX_BYTES_PER_PACKET * packets)}


_OUTSIDE, _INSIDE, _SOUND = range(3)


def _outside(film: InputContainer, span: Span, fps: int) -> Iterator[Timed]:
    for packet in film.demux(film.streams.video[0]):
        if packet.pts is not None and not span.first <= round(_seconds(packet) * fps) < span.end:
            yield _seconds(packet), _OUTSIDE, packet


def _inside(clip: InputContainer, span: Span, fps: int) -> Iterator[Timed]:
    for packet in clip.demux(clip.streams.video[0]):
        if packet.pts is None or packet.dts is None or packet.time_base is None:
            continue
        shift = round(span.first / fps / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        yield _seconds(packet), _INSIDE, packet


def _sound(film: InputContainer) -> Iterator[Timed]:
    for packet in film.demux(film.streams.audio[0]):
        if packet.pts is not None:
            yield _seconds(packet), _SOUND, packet


def _seconds(packet: av.Packet) -> float:
    assert packet.pts is not None
    assert packet.time_base is not None
    return float(packet.pts * packet.time_base)
