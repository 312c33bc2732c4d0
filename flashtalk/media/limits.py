"""What a visitor's file may be at most. Read by media/audio.py and media/image.py; a server passes stricter ones."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class AudioLimits:
    """Limits of a sound file. All are checked on the header where it tells, and again while decoding."""

    max_bytes: int = 8 * GIB
    min_sample_rate: int = 8_000
    max_sample_rate: int = 192_000
    max_channels: int = 64
    max_duration_s: float = 12 * 3600.0
    patience_s: float = 4.0
    """Longest wait for the header or for the next piece of sound; a damaged file may make a reader search for long."""


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """Limits of a picture, checked on its header, before any pixel is decoded."""

    max_bytes: int = 64 * MIB
    max_pixels: int = 50_500_000
    min_side: int = 16
    max_side: int = 8192
    max_aspect: float = 10.0
    """Longer side by shorter side."""
    patience_s: float = 3.0
    """Longest time for reading and decoding."""


AUDIO_LIMITS = AudioLimits()
IMAGE_LIMITS = ImageLimits()
