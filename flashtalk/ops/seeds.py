"""Seeds made of other numbers. Used for a stream's noise and for weights drawn at random."""

from __future__ import annotations

import zlib

_MASK = (1 << 64) - 1


def mixed_seed(*parts: int | str) -> int:
    """One well-spread 63-bit seed of several numbers or names (the finaliser of splitmix64, once for each)."""
    state = 0
    for part in parts:
        number = zlib.crc32(part.encode()) if isinstance(part, str) else part
        state = (state + (number & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1
