"""Settings of what a GPU does beside its main work, and of what is kept between starts. The base of RuntimeConfig.

Read by pipeline/session.py through Networks and by engine/build.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OverlapConfig:
    """Work in another order or another place; results are the same (`early_frames`: up to rounding)."""

    audio_ahead: bool = True
    """On a GPU: encode the sound of the next chunk beside this one, where it is there already (files)."""
    copy_beside: bool = True
    """On a GPU: make frames of pixels and copy them to the host beside the work that follows."""
    early_frames: bool = False
    """Decode the first new frames by themselves, so that they leave before the others are decoded."""
    cuda_graphs: bool = False
    """On a GPU: the audio encoder as one CUDA graph."""
    compile_cache: str = "auto"
    """Folder of compiled kernels. auto: what TORCHINDUCTOR_CACHE_DIR says, else .cache/flashtalk in the user's home;
    off: torch's own choice, a temporary folder."""
