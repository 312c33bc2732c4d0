"""Finds and decodes the first audio stream of a local file with PyAV, within limits. Called by media/audio.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import InputContainer
from av.stream import Discard

from flashtalk.errors import InputError
from flashtalk.media.files import TimedFile, match_signature, open_local, shown_name
from flashtalk.media.limits import AudioLimits

# Formats that open other files or addresses (hls, dash, concat, sdp, image2 ...) must stay off this list.
_CONTAINERS = (
    *("wav", "w64", "aiff", "caf", "au", "flac", "ogg", "mp3", "aac", "ac3", "eac3", "dts", "amr", "wv", "tta", "ape"),
    *("mov", "matroska", "avi", "flv", "asf", "mpegts", "mpeg"),
)
_CODECS = (
    *("aac", "aac_latm", "ac3", "eac3", "dca", "alac", "ape", "flac", "gsm", "gsm_ms", "speex", "tta", "wavpack"),
    *("mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "opus", "libopus", "vorbis", "libvorbis"),
    *("amrnb", "libopencore_amrnb", "amrwb", "libopencore_amrwb", "wmav1", "wmav2", "wmapro"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8", "pcm_s8_planar"),
    *("pcm_s16le", "pcm_s16be", "pcm_s16le_planar", "pcm_s16be_planar", "pcm_s24le", "pcm_s24be", "pcm_s24le_planar"),
    *("pcm_s32le", "pcm_s32be", "pcm_s32le_planar", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"),
)
_REFUSED = (
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
    (b"v=0", "a session description"),
    (b"<", "a text page or manifest"),
    (b"MThd", "MIDI"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
)
"""How the usual mistakes begin, so that they can be named; what is readable at all is decided by _CONTAINERS."""

_GUESSED_DURATION = {"mp3", "aac", "ac3", "eac3", "dts", "mpegts", "mpeg"}
"""Containers without a duration; the library guesses one from the first packets' bit rate, too roughly to refuse by."""

_DAMAGE_GRACE = 50
"""Damaged packets that are passed over before they are weighed against the sound ones."""


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file's header says. `duration_s` is None where the header does not tell, and may be a guess."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    duration_s: float | None


class Sound:
    """An open file and its first audio stream."""

    def __init__(self, container: InputContainer, source: TimedFile, name: str, limits: AudioLimits) -> None:
        self.name = name
        self.limits = limits
        self._container = container
        self._source = source
        self._stream = self._first_stream()
        self.info = self._read_info()

    def frames(self) -> Iterator[av.AudioFrame]:
        """Decoded frames in order. Damaged packets are passed over, as players do, unless they are the greater part."""
        good = damaged = 0
        self._source.touch()
        for packet in self._packets():
            try:
                frames = cast(list[av.AudioFrame], packet.decode())
            except av.error.FFmpegError:
                damaged += 1
                frames = []
            good += bool(frames)
            if damaged > good + _DAMAGE_GRACE:
                break
            for frame in frames:
                _check_limits(frame.sample_rate, frame.layout.nb_channels, None, self.name, self.limits)
                yield frame
                self._source.touch()
        self._source.check(self.name, "audio")
        if damaged > good:
            raise unreadable(self.name)

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except (av.error.FFmpegError, IndexError):
            # A cut file ends where its bytes end. IndexError is PyAV's (18.1), at the end of a file whose header told
            # of fewer tracks than came.
            return

    def end_within(self, frame: av.AudioFrame) -> int:
        """How many samples of this frame belong to the sound: an MP4's last frame is longer than what its header says.

        Other containers mark the padding themselves, so that the decoder has already dropped it.
        """
        stream = self._stream
        if self.info.container != "mov" or not stream.duration or not stream.time_base or frame.time is None:
            return frame.samples
        end_s = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        wanted = round((end_s - frame.time) * frame.sample_rate)
        return wanted if 0 < wanted < frame.samples else frame.samples

    def _first_stream(self) -> av.AudioStream:
        streams = self._container.streams
        if not streams.audio:
            raise InputError(f"{self.name} holds no sound; give a file with an audio track", code="audio_no_stream")
        chosen = streams.audio[0]
        for stream in streams:
            if stream is not chosen:
                stream.discard = Discard.all
        codec = chosen.codec_context
        if codec is None or codec.codec.name not in _CODECS:
            raise InputError(
                f"the sound in {self.name} has a coding that is not supported; give WAV, FLAC, MP3, AAC or Opus",
                code="audio_format",
            )
        return chosen

    def _read_info(self) -> AudioInfo:
        stream, codec = self._stream, self._stream.codec_context
        container = self._container.format.name.split(",")[0]
        duration_s = _header_duration_s(self._container, stream)
        info = AudioInfo(container, codec.codec.canonical_name, codec.sample_rate, codec.layout.nb_channels, duration_s)
        trusted_s = None if container in _GUESSED_DURATION else duration_s
        _check_limits(info.sample_rate, info.channels, trusted_s, self.name, self.limits)
        return info


@contextmanager
def open_sound(path: str | Path | BinaryIO, limits: AudioLimits) -> Iterator[Sound]:
    """A file's first audio stream, checked on its header. InputError as listed in media/audio.py."""
    with open_local(path, "audio", limits.max_bytes) as file:
        source, name = TimedFile(file, limits.patience_s), shown_name(path)
        with _open_container(source, name) as container:
            yield Sound(container, source, name, limits)


def _wrong_kind(what: str) -> InputError:
    return InputError(f"{what}; give WAV, FLAC, MP3, M4A, Ogg, WebM or MP4", code="audio_format")


def unreadable(name: str) -> InputError:
    """The error for a file that cannot be decoded."""
    return InputError(
        f"{name} is damaged or not a sound file; export it again as WAV, FLAC, MP3 or M4A", code="audio_unreadable"
    )


def _open_container(source: TimedFile, name: str) -> InputContainer:
    options = {
        "format_whitelist": ",".join(_CONTAINERS),
        "codec_whitelist": ",".join(_CODECS),
        "protocol_whitelist": "",
    }
    refused = match_signature(source.read(16).lstrip(), _REFUSED)
    source.seek(0)
    if refused is not None:
        raise _wrong_kind(f"{name} is {refused}")
    try:
        container = av.open(source, "r", options=options)
    except av.error.ArgumentError:
        raise _wrong_kind(f"{name} is of a kind that is not supported") from None
    except (av.error.FFmpegError, ValueError, MemoryError):
        source.check(name, "audio")
        raise unreadable(name) from None
    return container


def _header_duration_s(container: InputContainer, stream: av.AudioStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _check_limits(sample_rate: int, channels: int, duration_s: float | None, name: str, limits: AudioLimits) -> None:
    if not limits.min_sample_rate <= sample_rate <= limits.max_sample_rate:
        raise InputError(
            f"{name} has a sample rate of {sample_rate} Hz; {limits.min_sample_rate} to {limits.max_sample_rate} Hz "
            "are allowed",
            code="audio_limits",
        )
    if not 1 <= channels <= limits.max_channels:
        raise InputError(f"{name} has {channels} channels; 1 to {limits.max_channels} are allowed", code="audio_limits")
    if duration_s is not None and duration_s > limits.max_duration_s:
        raise too_long(name, limits)


def too_long(name: str, limits: AudioLimits) -> InputError:
    """The error for a sound beyond `max_duration_s`."""
    return InputError(
        f"{name} lasts longer than {limits.max_duration_s:,.0f} s, the most allowed; cut it", code="audio_limits"
    )
