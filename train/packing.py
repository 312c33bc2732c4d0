"""A clip as a few small files and back: pictures (mp4 or png), wav, poses, json. Called by train/shard_writer and
train/shards, which keep them in tar files.
"""

from __future__ import annotations

import io
import json
import wave
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from PIL import Image

from flashtalk.errors import FlashTalkError, InputError
from train.clip import FPS, SAMPLE_RATE, Clip, Frames, Poses, Samples

FramesFormat = Literal["mp4", "png"]
FRAMES_FORMATS: tuple[FramesFormat, ...] = ("mp4", "png")
"""mp4: H.264, small, needs PyAV and even sizes, plays anywhere. png: lossless, needs nothing, 20 times larger."""

_STRIP_FRAMES = 16
_FULL_SCALE = 32768
_LARGEST_FRAMES = 2**34
"""Bytes of decoded pictures that a clip may have; beyond, its description is damaged."""


def pack(clip: Clip, frames_format: FramesFormat = "mp4", crf: int = 16) -> dict[str, bytes]:
    """File name -> content, the description (`{key}.json`) first. Sound is kept with 16 bits.

    The same clip gives the same bytes. Raises InputError(frames_format) where mp4 cannot be written.
    """
    files = _pack_frames(clip, frames_format, crf) | {"wav": _to_wav(clip.samples)}
    if clip.poses_FP is not None:
        files["poses.npy"] = _to_npy(clip.poses_FP)
    description = {
        "key": clip.key,
        "caption": clip.caption,
        "subject": clip.subject,
        "voice": clip.voice,
        "language": clip.language,
        "split": clip.split,
        "source": clip.source,
        "details": clip.details,
        "frames": len(clip.frames_FHWC),
        "size_px": clip.size_px,
        "fps": FPS,
        "sample_rate": SAMPLE_RATE,
        "crc32": {name: zlib.crc32(content) for name, content in files.items()},
    }
    text = json.dumps(description, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    return {f"{clip.key}.{name}": content for name, content in {"json": text, **files}.items()}


def unpack(files: Mapping[str, bytes], key: str) -> Clip:
    """The clip of what `pack` gave. Raises InputError(clip_damaged) if anything is missing or changed."""
    try:
        described = json.loads(files[f"{key}.json"])
        contents = {name: files[f"{key}.{name}"] for name in described["crc32"]}
        _check_sums(contents, described["crc32"], key)
        shape = (int(described["frames"]), *map(int, described["size_px"]), 3)
        return Clip(
            **{name: described[name] for name in ("key", "caption", "subject", "voice", "language", "split", "source")},
            frames_FHWC=_unpack_frames(contents, shape, key),
            samples=_from_wav(contents["wav"]),
            poses_FP=_from_npy(contents["poses.npy"]) if "poses.npy" in contents else None,
            details=described["details"],
        )
    except (KeyError, TypeError, ValueError, EOFError, OSError, wave.Error) as error:
        raise damaged(key, f"{type(error).__name__}: {error}") from error
    except FlashTalkError as error:
        raise error if error.code in ("clip_damaged", "frames_format") else damaged(key, str(error)) from error


def damaged(key: str, reason: str) -> InputError:
    """The error for a clip whose files are not what was written."""
    return InputError(f"clip {key} is damaged ({reason}); write its shard again", code="clip_damaged")


def _check_sums(contents: Mapping[str, bytes], sums: Mapping[str, int], key: str) -> None:
    for name, content in contents.items():
        if zlib.crc32(content) != sums[name]:
            raise damaged(key, f"checksum of {name}")


def _pack_frames(clip: Clip, frames_format: FramesFormat, crf: int) -> dict[str, bytes]:
    if frames_format == "mp4":
        return {"mp4": _to_mp4(clip, crf)}
    if frames_format == "png":
        starts = range(0, len(clip.frames_FHWC), _STRIP_FRAMES)
        strips = [_to_png(clip.frames_FHWC[start : start + _STRIP_FRAMES]) for start in starts]
        return {f"{place:03d}.png": strip for place, strip in enumerate(strips)}
    raise _no_format(f"{frames_format!r} is no format for pictures")


def _unpack_frames(contents: Mapping[str, bytes], shape: tuple[int, ...], key: str) -> Frames:
    if min(shape) < 1 or np.prod(shape, dtype=np.float64) > _LARGEST_FRAMES:
        raise damaged(key, f"frames of shape {shape}")
    strips = sorted(name for name in contents if name.endswith(".png"))
    if "mp4" in contents:
        frames_FHWC = _from_mp4(contents["mp4"])
    else:
        frames_FHWC = np.concatenate([_from_png(contents[name], shape) for name in strips])
    if frames_FHWC.shape != shape:
        raise damaged(key, f"frames of shape {frames_FHWC.shape}, described as {shape}")
    return frames_FHWC


def _to_png(frames_FHWC: Frames) -> bytes:
    """A film strip, frames one below the other."""
    count, height, width, channels = frames_FHWC.shape
    strip = io.BytesIO()
    rows = np.ascontiguousarray(frames_FHWC).reshape(count * height, width, channels)
    Image.fromarray(rows).save(strip, format="PNG", compress_level=4)
    return strip.getvalue()


def _from_png(content: bytes, shape: tuple[int, ...]) -> Frames:
    with Image.open(io.BytesIO(content), formats=["PNG"]) as strip:
        if strip.mode != "RGB" or strip.width != shape[2] or strip.height > shape[0] * shape[1]:
            raise ValueError(f"a strip of {strip.width} x {strip.height}")
        return np.asarray(strip).reshape(-1, *shape[1:])


def _to_mp4(clip: Clip, crf: int) -> bytes:
    _need_av()
    from flashtalk.media.encode import MediaFormat, SegmentEncoder  # noqa: PLC0415 (needs PyAV)

    height, width = clip.size_px
    if height % 2 or width % 2:
        raise _no_format(f"mp4 has even sizes, not {height} x {width}")
    encoder = SegmentEncoder(MediaFormat(width=width, height=height, fps=FPS, sample_rate=SAMPLE_RATE, crf=crf))
    head = encoder.init_segment()
    return head + encoder.encode(clip.frames_FHWC, clip.samples) + encoder.flush()


def _from_mp4(content: bytes) -> Frames:
    _need_av()
    import av  # noqa: PLC0415

    try:
        with av.open(io.BytesIO(content), "r", options={"format_whitelist": "mov", "codec_whitelist": "h264"}) as film:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(str(error)) from error


def _need_av() -> None:
    try:
        import av  # noqa: F401, PLC0415
    except ImportError:
        raise _no_format("mp4 needs PyAV, which is not installed here") from None


def _no_format(reason: str) -> InputError:
    return InputError(f"{reason}; choose one of {', '.join(FRAMES_FORMATS)}", code="frames_format")


def _to_wav(samples: Samples) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(
            np.clip(np.round(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()
        )
    return content.getvalue()


def _from_wav(content: bytes) -> Samples:
    with wave.open(io.BytesIO(content), "rb") as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, SAMPLE_RATE):
            raise ValueError("the sound is not 16-bit mono at 16 kHz")
        raw = file.readframes(file.getnframes())
    return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def _to_npy(array: Poses) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array, np.float32), allow_pickle=False)
    return content.getvalue()


def _from_npy(content: bytes) -> Poses:
    array: Any = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype != np.float32 or array.ndim != 2:
        raise ValueError(f"poses are {array.dtype} {array.shape}")
    return array
