"""Chunks to messages that a browser can play: H.264 and PCM for WebCodecs, or fragmented mp4 for Media Source players.

Called by live/session.py. A packer belongs to one browser connection; each chunk begins with a key frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from flashtalk.config import StreamConfig
from flashtalk.config_app import LiveConfig
from flashtalk.media.encode import MediaFormat, SegmentEncoder
from flashtalk.media.encoders import encoder_errors, new_encoder
from flashtalk.media.label import label_frames
from flashtalk.types import VideoChunk
from flashtalk.ui.live.messages import Kind, Outgoing, media, say

_BT709, _LIMITED_RANGE, _FULL_RANGE = 1, 1, 2
CODEC = "avc1.42e01f"
"""Baseline: decoders need no frames beyond the one that they are given."""


class Packer(Protocol):
    """Turns chunks into messages."""

    def begin(self, epoch: int, at_s: float) -> Iterator[Outgoing]:
        """A new run of chunks whose first one starts at `at_s`."""

    def pack(self, chunk: VideoChunk, start_s: float) -> Iterator[Outgoing]:
        """Messages of one chunk that starts at `start_s` on the page's clock, sound first."""


class FramePacker:
    """Pictures one by one, and the chunk's sound as PCM."""

    def __init__(self, stream: StreamConfig, settings: LiveConfig) -> None:
        self._label = settings.label
        self._encoder = _LiveEncoder(stream.width, stream.height, stream.fps, settings.crf)
        self._epoch = 0

    def begin(self, epoch: int, at_s: float) -> Iterator[Outgoing]:  # noqa: ARG002
        """Nothing is needed: each chunk stands by itself."""
        self._epoch = epoch
        return iter(())

    def pack(self, chunk: VideoChunk, start_s: float) -> Iterator[Outgoing]:
        """Sound, then each picture as soon as it is coded."""
        pcm = (np.clip(chunk.samples, -1, 1) * 32767).astype("<i2").tobytes()
        end_s = start_s + chunk.duration_s
        yield media(Kind.SOUND, self._epoch, chunk.index, start_s, pcm, key=True, end_s=end_s)
        for index in range(len(chunk.frames_FHWC)):
            at_s = start_s + index / chunk.fps
            frame_HWC = _marked(chunk.frames_FHWC[index : index + 1], self._label)[0]
            data = self._encoder.encode(frame_HWC, key=index == 0)
            number = chunk.first_frame + index
            yield media(Kind.PICTURE, self._epoch, number, at_s, data, key=index == 0, end_s=at_s + 1 / chunk.fps)


class SegmentPacker:
    """One fragmented mp4 for each run, one segment for each chunk."""

    def __init__(self, stream: StreamConfig, settings: LiveConfig) -> None:
        self._label = settings.label
        self._format = MediaFormat(
            width=stream.width,
            height=stream.height,
            fps=stream.fps,
            sample_rate=stream.sample_rate,
            crf=settings.crf,
            preset="ultrafast",
        )
        self._epoch = 0
        self._segments = SegmentEncoder(self._format)

    def begin(self, epoch: int, at_s: float) -> Iterator[Outgoing]:
        """A fresh file, whose second 0 the page puts at `at_s`."""
        self._epoch = epoch
        self._segments = SegmentEncoder(self._format)
        yield say("segments", mime=self._segments.mime_type, epoch=epoch, at_s=at_s)
        yield media(Kind.SEGMENT, epoch, 0, at_s, self._segments.init_segment(), key=True, end_s=at_s)

    def pack(self, chunk: VideoChunk, start_s: float) -> Iterator[Outgoing]:
        """One segment."""
        data = self._segments.encode(_marked(chunk.frames_FHWC, self._label), chunk.samples)
        end_s = start_s + chunk.duration_s
        yield media(Kind.SEGMENT, self._epoch, chunk.index, start_s, data, key=False, end_s=end_s)


def _marked(frames_FHWC: np.ndarray, label: bool) -> np.ndarray:
    return label_frames(frames_FHWC) if label else frames_FHWC


PACKERS: dict[str, Callable[[StreamConfig, LiveConfig], Packer]] = {"webcodecs": FramePacker, "mse": SegmentPacker}
"""By the names of live/messages.PLAYERS."""


class _LiveEncoder:
    """libx264 without any delay: a picture in, its bytes out."""

    def __init__(self, width: int, height: int, fps: int, crf: int) -> None:
        encoder = new_encoder("libx264")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps)
        encoder.color_primaries = encoder.color_trc = encoder.colorspace = _BT709
        encoder.color_range = _LIMITED_RANGE
        encoder.thread_count = 1
        encoder.profile = "Baseline"
        encoder.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "crf": str(crf),
            "forced-idr": "1",
            "x264-params": f"repeat-headers=1:scenecut=0:keyint={10 * fps}:bframes=0",
        }
        self._what = f"live pictures of {width}x{height}"
        self._fps, self._count = fps, 0
        with encoder_errors(self._what):
            encoder.open()
        self._encoder = encoder

    def encode(self, frame_HWC: np.ndarray, *, key: bool) -> bytes:
        """One access unit in Annex B, with parameter sets if `key`."""
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame = rgb.reformat(
            format="yuv420p",
            dst_colorspace=_BT709,
            src_color_range=_FULL_RANGE,
            dst_color_range=_LIMITED_RANGE,
        )
        frame.pts, frame.time_base = self._count, Fraction(1, self._fps)
        frame.pict_type = PictureType.I if key else PictureType.NONE
        self._count += 1
        with encoder_errors(self._what):
            return b"".join(bytes(packet) for packet in self._encoder.encode(frame))
