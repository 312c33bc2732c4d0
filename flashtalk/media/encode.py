"""Frames and sound to segments of fragmented mp4 (H.264 + AAC) for live players and files.

Called by media/mp4.py for files, by the server and the app for live players (Media Source Extensions): `mime_type`,
then `init_segment()`, then what `encode` returns.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from flashtalk.errors import ConfigError, EngineError, InputError, SessionClosed
from flashtalk.media.aac import FRAME, Held, SoundEncoder
from flashtalk.media.boxes import Run, Sample, Track, aac_entry, avc_entry, first_segment, media_segment
from flashtalk.media.h264 import PictureEncoder

SAMPLE_RATES = (16000, 22050, 24000, 32000, 44100, 48000)
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")

_TICKS_PER_FRAME = 512
"""Ticks of the video track's clock in one frame, so that frame n is shown at exactly n / fps."""
_VIDEO, _SOUND = 1, 2


@dataclass(frozen=True, kw_only=True)
class MediaFormat:
    """What comes out. Width and height in pixels (even), crf 1 (best) to 51, audio_bitrate in bits a second.

    Raises ConfigError for values that cannot be encoded.
    """

    width: int
    height: int
    fps: int = 25
    sample_rate: int = 16000
    channels: int = 1
    crf: int = 20
    preset: str = "veryfast"
    audio_bitrate: int | None = None
    """None: 4 bits for each sample; below that FFmpeg's AAC encoder is heard to distort pure tones."""

    def __post_init__(self) -> None:
        width, height, top_bitrate = self.width, self.height, 6 * self.sample_rate * self.channels
        allowed = (
            (all(16 <= side <= 8192 for side in (width, height)), f"size {width}x{height}", "sides of 16..8192"),
            (width % 2 == height % 2 == 0, f"size {width}x{height}", "even width and height"),
            (1 <= self.fps <= 240, f"fps {self.fps}", "1..240"),
            (self.sample_rate in SAMPLE_RATES, f"sample_rate {self.sample_rate}", f"one of {SAMPLE_RATES}"),
            (self.channels in (1, 2), f"channels {self.channels}", "1 or 2"),
            (1 <= self.crf <= 51, f"crf {self.crf}", "1..51"),
            (self.preset in PRESETS, f"preset {self.preset!r}", f"one of {', '.join(PRESETS)}"),
            (8000 <= self.sound_bitrate <= top_bitrate, f"audio_bitrate {self.audio_bitrate}", f"8000..{top_bitrate}"),
        )
        for holds, given, wanted in allowed:
            if not holds:
                raise ConfigError(f"Video output: {given} cannot be encoded; allowed: {wanted}.", code="media_format")

    @property
    def sound_bitrate(self) -> int:
        """Bits a second of all channels."""
        return self.audio_bitrate or 4 * self.sample_rate * self.channels


@dataclass(frozen=True)
class _Position:
    """Where the next segment begins: all that one segment hands to the next."""

    next_frame: int
    sequence: int
    sound: Held
    flushed: bool = False


class SegmentEncoder:
    """One stream of segments. Each is a function of its frames and samples and of `state()`, byte for byte.

    A call that raises leaves the encoder as it was. Not for several threads at once.
    Raises EngineError(encoder_missing) if FFmpeg lacks libx264 or aac.
    """

    def __init__(self, media: MediaFormat) -> None:
        self.media = media
        self._pictures = PictureEncoder(media.width, media.height, media.fps, crf=media.crf, preset=media.preset)
        self._sounds = SoundEncoder(media.sample_rate, media.channels, media.sound_bitrate)
        self._position = _Position(0, 1, self._sounds.start())
        sps, pps = self._pictures.sps, self._pictures.pps
        video = avc_entry(media.width, media.height, sps, pps)
        sound = aac_entry(media.channels, media.sample_rate, self._sounds.config, media.sound_bitrate)
        self.tracks = (
            Track(_VIDEO, media.fps * _TICKS_PER_FRAME, video, size=(media.width, media.height)),
            Track(_SOUND, media.sample_rate, sound, delay=FRAME),
        )
        self.mime_type = f'video/mp4; codecs="avc1.{sps[1:4].hex()},mp4a.40.2"'
        self.movie_timescale = math.lcm(media.fps, media.sample_rate)

    @property
    def frames_written(self) -> int:
        """Frames encoded so far."""
        return self._position.next_frame

    @property
    def flushed(self) -> bool:
        """The stream has ended."""
        return self._position.flushed

    def init_segment(self) -> bytes:
        """`ftyp` and `moov`; goes before the first segment."""
        return first_segment(self.movie_timescale, self.tracks)

    def encode(self, frames_FHWC: np.ndarray, samples: np.ndarray) -> bytes:
        """One complete media segment that begins with an IDR picture.

        frames_FHWC: at least one uint8 RGB frame. samples: float32 in [-1, 1] (beyond is clipped), S >= 0, as [S] or
        [S, channels]; 2048 to 3071 of them stay held back for the next segment or `flush`.
        Raises InputError(frames_shape, samples_shape, samples_not_finite), SessionClosed after `flush`.
        """
        self._check_open()
        self._check_frames(frames_FHWC)
        held = self._position.sound.plus(self._checked(samples))
        sounds, held = self._sounds.encode(held)
        pictures = self._pictures.encode(frames_FHWC, _TICKS_PER_FRAME)
        segment = self._segment(pictures, sounds)
        before = self._position
        self._position = _Position(before.next_frame + len(pictures), before.sequence + 1, held)
        return segment

    def flush(self) -> bytes:
        """The sound held back, as a segment without pictures; empty if there was no sound at all. Ends the stream."""
        self._check_open()
        sounds = self._sounds.finish(self._position.sound)
        segment = self._segment([], sounds) if sounds else b""
        self._position = replace(self._position, flushed=True)
        return segment

    def state(self) -> dict[str, Any]:
        """All that a new process needs to go on as if never stopped; fits JSON (up to 60 KB for each channel)."""
        now = self._position
        tail = base64.b64encode(np.ascontiguousarray(now.sound.tail_CS, "<f4").tobytes()).decode()
        return {
            "format": asdict(self.media),
            "next_frame": now.next_frame,
            "sequence": now.sequence,
            "next_packet": now.sound.next_packet,
            "sound": tail,
            "flushed": now.flushed,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()` of an encoder of the same format. Raises EngineError(state_damaged)."""
        try:
            same = MediaFormat(**state["format"]) == self.media
            sound = np.frombuffer(base64.b64decode(state["sound"], validate=True), "<f4").astype(np.float32)
            held = Held(int(state["next_packet"]), sound.reshape(self.media.channels, -1))
            position = _Position(int(state["next_frame"]), int(state["sequence"]), held, bool(state["flushed"]))
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise EngineError("The saved state is not one of a video encoder.", code="state_damaged") from error
        if not same:
            raise EngineError("The saved state belongs to another output format.", code="state_damaged")
        self._position = position

    def _segment(self, pictures: list[Sample], sounds: list[Sample]) -> bytes:
        video, sound = self.tracks
        now = self._position
        runs = [
            Run(video, now.next_frame * _TICKS_PER_FRAME, pictures),
            Run(sound, now.sound.next_packet * FRAME, sounds),
        ]
        return media_segment(now.sequence, runs)

    def _check_open(self) -> None:
        if self._position.flushed:
            raise SessionClosed("This video stream was flushed; begin a new one.")

    def _check_frames(self, frames_FHWC: np.ndarray) -> None:
        wanted, given = (self.media.height, self.media.width, 3), frames_FHWC.shape
        if frames_FHWC.dtype != np.uint8 or len(given) != 4 or given[1:] != wanted or not given[0]:
            raise InputError(
                f"Frames are {frames_FHWC.dtype} of shape {list(given)}; allowed here: uint8 of shape "
                f"[1 or more, {', '.join(map(str, wanted))}].",
                code="frames_shape",
            )

    def _checked(self, samples: np.ndarray) -> np.ndarray:
        """As float32 [channels, S]."""
        channels = self.media.channels
        samples_SC = samples[:, None] if samples.ndim == 1 else samples
        if samples_SC.ndim != 2 or samples_SC.shape[1] != channels or samples.dtype.kind != "f":
            raise InputError(
                f"Sound is {samples.dtype} {list(samples.shape)}; allowed: float32 [samples, {channels}]"
                + (" or [samples]." if channels == 1 else "."),
                code="samples_shape",
            )
        if not np.isfinite(samples_SC).all():
            raise InputError("Sound contains numbers that are not finite.", code="samples_not_finite")
        return samples_SC.T.astype(np.float32).clip(-1, 1)
