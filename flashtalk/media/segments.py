"""Frames and sound to MPEG-TS segments for HLS players: one H.264 and one AAC encoder for the whole stream, each chunk
a stand-alone segment whose timestamps go on; and segments to one mp4 without encoding again. Called by the app.

media/encode.py makes fragmented mp4 that can be resumed byte for byte; players of Gradio's kind want these instead.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from flashtalk.errors import InputError
from flashtalk.media.encode import MediaFormat
from flashtalk.media.encoders import encoder_errors, new_encoder
from flashtalk.media.label import ABOUT

_TS_CLOCK = 90_000
_START_S = 10
"""Timestamps begin here, so that the sound's priming, which lies before the first sample, is not negative."""
_PACKET_BYTES = 188
_AAC_FRAME = 1024
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000)
_BT709, _LIMITED_RANGE, _FULL_RANGE = 1, 1, 2


@dataclass(frozen=True)
class Segment:
    """One stretch of a film: an MPEG-TS file of its own, and how long its pictures last."""

    data: bytes
    duration_s: float


class SegmentStream:
    """One film as segments. Not for several threads at once. Raises EngineError(encoder_missing, encoding_failed)."""

    def __init__(self, media: MediaFormat) -> None:
        self.media = media
        self._video = _open_video(media)
        self._audio = _open_audio(media)
        self._fifo = av.AudioFifo()
        self._frames = 0
        self._samples = 0
        self._given = 0
        self._counters: dict[int, int] = {}

    def encode(self, frames_FHWC: np.ndarray, samples: np.ndarray, *, last: bool = False) -> Segment:
        """A segment that begins with an IDR picture.

        frames_FHWC: uint8 RGB, at least one. samples: float32 [S] or [S, channels] at the format's rate; what does not
        fill a frame of 1024 waits for the next segment, or comes out with the `last`, where silence fills up what the
        sound is shorter than the pictures: players take a film whose sound ends sooner for one that has stalled.
        """
        with encoder_errors("a segment"):
            video = [packet for index, frame in enumerate(frames_FHWC) for packet in self._encode_frame(frame, index)]
            audio = self._encode_sound(self._filled_up(samples) if last else samples, last=last)
            if last:
                video += self._video.encode(None)
            data = self._mux(video, audio)
        return Segment(data, len(frames_FHWC) / self.media.fps)

    def _encode_frame(self, frame_HWC: np.ndarray, index: int) -> list[av.Packet]:
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame = rgb.reformat(
            format="yuv420p", dst_colorspace=_BT709, src_color_range=_FULL_RANGE, dst_color_range=_LIMITED_RANGE
        )
        frame.time_base = Fraction(1, _TS_CLOCK)
        frame.pts = _START_S * _TS_CLOCK + self._frames * _TS_CLOCK // self.media.fps
        frame.pict_type = PictureType.I if index == 0 else PictureType.NONE
        self._frames += 1
        return list(self._video.encode(frame))

    def _encode_sound(self, samples: np.ndarray, *, last: bool) -> list[av.Packet]:
        packets = []
        self._given += len(samples)
        if len(samples):
            self._fifo.write(self._sound_frame(samples))
        while frame := self._next_sound(last=last):
            frame.pts, frame.time_base = self._samples, Fraction(1, self.media.sample_rate)
            self._samples += frame.samples
            packets += self._audio.encode(frame)
        return packets + (list(self._audio.encode(None)) if last else [])

    def _filled_up(self, samples: np.ndarray) -> np.ndarray:
        missing = self._frames * self.media.sample_rate // self.media.fps - self._given - len(samples)
        return np.concatenate([samples, np.zeros((max(0, missing), *samples.shape[1:]), samples.dtype)])

    def _next_sound(self, *, last: bool) -> av.AudioFrame | None:
        frame = self._fifo.read(_AAC_FRAME)
        if frame is None and last and self._fifo.samples:
            frame = self._fifo.read(self._fifo.samples, partial=True)
        return frame

    def _sound_frame(self, samples: np.ndarray) -> av.AudioFrame:
        samples_SC = samples.reshape(len(samples), -1)
        planar = np.ascontiguousarray(samples_SC.T, np.float32).clip(-1, 1)
        frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout=_layout(self.media))
        frame.sample_rate = self.media.sample_rate
        frame.pts = None
        return frame

    def _mux(self, video: Sequence[av.Packet], audio: Sequence[av.Packet]) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mpegts", options={"mpegts_copyts": "1"}) as container:
            packets = self._placed(container, video, audio)
            for packet in sorted(packets, key=_time_s):
                container.mux(packet)
        return self._continued(bytearray(buffer.getvalue()))

    def _placed(
        self, container: OutputContainer, video: Sequence[av.Packet], audio: Sequence[av.Packet]
    ) -> list[av.Packet]:
        media = self.media
        pictures = container.add_mux_stream("h264", rate=media.fps, width=media.width, height=media.height)
        sound = container.add_mux_stream("aac", rate=media.sample_rate)
        pictures.time_base, sound.time_base = Fraction(1, _TS_CLOCK), Fraction(1, media.sample_rate)
        placed = []
        for packet in video:
            packet.stream = pictures
            placed.append(packet)
        for packet in audio:
            framed = av.Packet(_adts_header(packet.size, media) + bytes(packet))
            framed.time_base, framed.duration, framed.is_keyframe = packet.time_base, _AAC_FRAME, True
            framed.pts = framed.dts = (packet.pts or 0) + _START_S * media.sample_rate
            framed.stream = sound
            placed.append(framed)
        return placed

    def _continued(self, data: bytearray) -> bytes:
        """With continuity counters that go on from the segment before, as players of live streams expect."""
        for start in range(0, len(data), _PACKET_BYTES):
            stream = (data[start + 1] & 0x1F) << 8 | data[start + 2]
            count = self._counters.get(stream, 0)
            data[start + 3] = data[start + 3] & 0xF0 | count
            if data[start + 3] & 0x10:
                self._counters[stream] = count + 1 & 15
        return bytes(data)


def join_segments(segments: Iterable[bytes], path: str | Path) -> None:
    """One mp4 at `path` of the segments of one stream: its index is in front, and its tags say that a machine made it.

    Raises InputError(empty_output).
    """
    data = b"".join(segments)
    if not data:
        raise InputError("No frame was made, so there is no film.", code="empty_output")
    with (
        encoder_errors("the film"),
        av.open(io.BytesIO(data), format="mpegts") as source,
        av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as target,
    ):
        assert isinstance(source, InputContainer)
        assert isinstance(target, OutputContainer)
        target.metadata.update(ABOUT)
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            start = round(_START_S / packet.time_base)
            packet.pts, packet.dts = packet.pts - start, packet.dts - start
            packet.stream = streams[packet.stream.index]
            target.mux(packet)


def _time_s(packet: av.Packet) -> float:
    assert packet.dts is not None
    assert packet.time_base is not None
    return float(packet.dts * packet.time_base)


def _open_video(media: MediaFormat) -> VideoCodecContext:
    encoder = new_encoder("libx264")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = media.width, media.height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, _TS_CLOCK), Fraction(media.fps)
    encoder.color_primaries = encoder.color_trc = encoder.colorspace = _BT709
    encoder.color_range = _LIMITED_RANGE
    # Keyframes come where a chunk begins and nowhere else; without B-frames and look-ahead nothing is held back.
    parameters = "keyint=infinite:scenecut=0:bframes=0"
    encoder.options = {
        "preset": media.preset,
        "crf": str(media.crf),
        "tune": "zerolatency",
        "forced-idr": "1",
        "x264-params": parameters,
    }
    with encoder_errors(f"pictures of {media.width}x{media.height}"):
        encoder.open()
    return encoder


def _open_audio(media: MediaFormat) -> AudioCodecContext:
    encoder = new_encoder("aac")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.format, encoder.layout = media.sample_rate, "fltp", _layout(media)
    encoder.bit_rate, encoder.time_base = media.sound_bitrate, Fraction(1, media.sample_rate)
    with encoder_errors("sound"):
        encoder.open()
    return encoder


def _layout(media: MediaFormat) -> str:
    return "mono" if media.channels == 1 else "stereo"


def _adts_header(size_bytes: int, media: MediaFormat) -> bytes:
    """The 7 bytes that each AAC frame needs in a transport stream (AAC-LC, no checksum)."""
    rate, channels, length = _ADTS_RATES.index(media.sample_rate), media.channels, size_bytes + 7
    return bytes(
        (
            0xFF,
            0xF1,
            1 << 6 | rate << 2 | channels >> 2,
            (channels & 3) << 6 | length >> 11,
            length >> 3 & 255,
            (length & 7) << 5 | 0x1F,
            0xFC,
        )
    )
