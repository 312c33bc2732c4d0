"""Settings of the networks between pixels and latents: the published VAE and the light codec.

A part of ModelConfig; read by flashtalk/models/{vae,light_codec}.py and by training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

WAN_LATENT_MEAN = (
    *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
    *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
)
WAN_LATENT_STD = (
    *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
    *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
)


@dataclass(frozen=True, kw_only=True)
class WanVAEConfig:
    """The Wan2.1 VAE. `latent_mean` and `latent_std` normalise its latents."""

    kind: Literal["wan"] = "wan"
    base_dim: int = 96
    latent_channels: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    latent_mean: tuple[float, ...] = WAN_LATENT_MEAN
    latent_std: tuple[float, ...] = WAN_LATENT_STD

    @property
    def spatial_stride(self) -> int:
        """Pixels on a side of one latent cell."""
        return 2 ** len(self.temporal_downsample)

    @property
    def temporal_stride(self) -> int:
        """Pixel frames of one latent frame, the first excepted."""
        return 2 ** sum(self.temporal_downsample)

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if len(self.dim_mult) != len(self.temporal_downsample) + 1:
            yield f"dim_mult {self.dim_mult} needs one entry more than temporal_downsample {self.temporal_downsample}"
        if not len(self.latent_mean) == len(self.latent_std) == self.latent_channels:
            yield f"latent_mean and latent_std must have latent_channels = {self.latent_channels} numbers each"


@dataclass(frozen=True, kw_only=True)
class LightCodecConfig:
    """A fast convolutional auto-encoder in the TAEHV layout (models/light_codec.py). Defaults decode Wan2.1 latents."""

    kind: Literal["light"] = "light"
    latent_channels: int = 16
    pixel_patch: int = 1
    """Pixels on a side that are folded into channels before the first and after the last layer."""
    encoder_width: int = 64
    decoder_widths: tuple[int, int, int, int] = (256, 128, 64, 64)
    encoder_blocks: tuple[int, int, int] = (3, 3, 3)
    decoder_blocks: tuple[int, int, int] = (3, 3, 3)
    temporal_upsample: tuple[bool, bool, bool] = (False, True, True)
    """Levels of the decoder that double frames, coarse first."""
    temporal_downsample: tuple[bool, bool, bool] = (True, True, False)
    """Levels of the encoder that halve them, fine first."""
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()

    @property
    def spatial_stride(self) -> int:
        """Pixels on a side of one latent cell."""
        return 8 * self.pixel_patch

    @property
    def temporal_stride(self) -> int:
        """Pixel frames of one latent frame, the first excepted."""
        return 2 ** sum(self.temporal_upsample)

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if sum(self.temporal_upsample) != sum(self.temporal_downsample):
            yield f"temporal_upsample {self.temporal_upsample} must undo temporal_downsample {self.temporal_downsample}"
        for name in ("latent_mean", "latent_std"):
            if len(getattr(self, name)) not in (0, self.latent_channels):
                yield f"{name} must be empty or have latent_channels = {self.latent_channels} numbers"
