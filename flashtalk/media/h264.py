"""Pictures to H.264 through libx264: each call is a group of pictures of its own. Called by media/encode.py.

Why a fresh encoder each time: its output depends on nothing but the frames given, so a program that was stopped and
goes on writes the very bytes it would have written.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from flashtalk.media.boxes import Sample
from flashtalk.media.encoders import encoder_errors, new_encoder

_BT709, _LIMITED_RANGE, _FULL_RANGE = 1, 1, 2
_SEI, _SPS, _PPS, _DELIMITER = 6, 7, 8, 9
_PARAMETERS = "bframes=0:scenecut=0:open-gop=0:cpu-independent=1"
"""No B-frames: decode order is display order. cpu-independent: the same bytes on every processor."""


class PictureEncoder:
    """Settings of the pictures. crf: 1 (best) to 51; preset: a name that x264 knows."""

    def __init__(self, width: int, height: int, fps: int, *, crf: int, preset: str) -> None:
        self._size = width, height
        self._fps = fps
        self._what = f"pictures of {width}x{height} at {fps} fps"
        self._options = {"preset": preset, "crf": str(crf), "x264-params": f"{_PARAMETERS}:keyint={10 * fps}"}
        encoder = self._open()
        units = {unit[0] & 31: unit for unit in _units(bytes(encoder.extradata or b""))}
        self.sps, self.pps = units[_SPS], units[_PPS]

    def _open(self) -> VideoCodecContext:
        encoder = new_encoder("libx264")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height = self._size
        encoder.pix_fmt = "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, self._fps), Fraction(self._fps)
        encoder.color_primaries = encoder.color_trc = encoder.colorspace = _BT709
        encoder.color_range = _LIMITED_RANGE
        encoder.thread_count = 1  # the number of threads changes the bytes
        encoder.flags |= Flags.global_header
        encoder.options = self._options
        with encoder_errors(self._what):
            encoder.open()
        return encoder

    def encode(self, frames_FHWC: np.ndarray, ticks: int) -> list[Sample]:
        """Samples of `ticks` each, the first an IDR picture, from uint8 RGB frames."""
        encoder = self._open()
        packets = []
        with encoder_errors(self._what):
            for index, frame_HWC in enumerate(frames_FHWC):
                packets += encoder.encode(self._convert(frame_HWC, index))
            packets += encoder.encode(None)
        samples = [Sample(_length_prefixed(bytes(packet)), ticks, bool(packet.is_keyframe)) for packet in packets]
        assert len(samples) == len(frames_FHWC)
        assert samples[0].key
        return samples

    def _convert(self, frame_HWC: np.ndarray, index: int) -> VideoFrame:
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame = rgb.reformat(
            format="yuv420p",
            dst_colorspace=_BT709,
            src_color_range=_FULL_RANGE,
            dst_color_range=_LIMITED_RANGE,
        )
        frame.pts, frame.time_base = index, Fraction(1, self._fps)
        return frame


def _units(stream: bytes) -> list[bytes]:
    """NAL units of an Annex B stream (a unit never ends in a zero byte, so such bytes belong to the start codes)."""
    return [unit for part in stream.split(b"\0\0\1") if (unit := part.rstrip(b"\0"))]


def _length_prefixed(stream: bytes) -> bytes:
    """The units as mp4 keeps them, without x264's note about itself and without what `avcC` says."""
    kept = (unit for unit in _units(stream) if unit[0] & 31 not in (_SEI, _SPS, _PPS, _DELIMITER))
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in kept)
