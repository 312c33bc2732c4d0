"""A fast auto-encoder in the TAEHV layout: 2-D convolutions, and blocks that see the frame before. A LatentCodec.

One class serves two ends: with `pixel_patch` and small widths it is the codec of small models, cheap on a CPU; with
the default config it loads the published TAEHV weights for Wan2.1 and previews 14B latents. Layer numbers inside
`encoder` and `decoder` are the published ones. The published weights work on pixels in 0..1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk.config_codec import LightCodecConfig
from flashtalk.models.causal import StreamCache
from flashtalk.models.vae import WanVAE
from flashtalk.ops.constants import per_channel

RGB = 3


class SoftClamp(nn.Module):
    """3 tanh(x / 3): keeps far latents in the range that the decoder knows."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return torch.tanh(x / 3) * 3


class MemoryBlock(nn.Module):
    """Three convolutions over a frame and the one before it, plus shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(2 * width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width)
        )

    def forward(self, x_BTCHW: Tensor, cache: StreamCache) -> Tensor:
        """Same shape out."""
        full = cache.extend(self, x_BTCHW.transpose(1, 2), 1).transpose(1, 2)
        pairs = torch.cat((x_BTCHW, full[:, :-1]), dim=2)
        return F.relu(_per_frame(self.conv, pairs) + x_BTCHW)


class JoinFrames(nn.Module):
    """`stride` frames -> one, by a 1x1 convolution over their channels."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(stride * width, width, 1, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] -> [B, T / stride, C, H, W]."""
        return _per_frame(self.conv, x_BTCHW.unflatten(1, (-1, self.stride)).flatten(2, 3))


class SplitFrames(nn.Module):
    """One frame -> `stride` frames, by a 1x1 convolution."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(width, stride * width, 1, bias=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] -> [B, T * stride, C, H, W]."""
        return _per_frame(self.conv, x_BTCHW).unflatten(2, (self.stride, -1)).flatten(1, 2)


class Decoder(nn.Sequential):
    """Latents in the network's own range -> pixels."""

    def __init__(self, config: LightCodecConfig) -> None:
        super().__init__(*_decoder_layers(config))
        self.pixel_patch = config.pixel_patch

    def forward(self, z_BTCHW: Tensor, cache: StreamCache) -> Tensor:  # type: ignore[override]
        """[B, T, C, H, W] -> float32 [B, 3, stride * T, s H, s W], in [-1, 1] but for errors."""
        x = F.pixel_shuffle(_run(self, z_BTCHW, cache), self.pixel_patch)
        return x.transpose(1, 2).float() * 2 - 1


class LightCodec(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: LightCodecConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_channels = config.latent_channels
        self.temporal_stride, self.spatial_stride = config.temporal_stride, config.spatial_stride
        self.encoder = _encoder(config)
        self.decoder = Decoder(config)

    def encode(self, pixels_BCFHW: Tensor) -> Tensor:
        """Pixels in [-1, 1], F = 1 + stride * n -> normalised latents, float32 [B, C, 1 + n, H/s, W/s].

        The first frame is repeated in front to fill its latent, so that latent k ends with frame stride * k.
        """
        x = ((pixels_BCFHW + 1) / 2).transpose(1, 2).to(self._dtype)
        x = torch.cat((x[:, :1].expand(-1, self.temporal_stride - 1, -1, -1, -1), x), dim=1)
        x = F.pixel_unshuffle(x, self.config.pixel_patch)
        latents = _run(self.encoder, x, StreamCache()).transpose(1, 2).float()
        shift, scale = self._normalisation(latents)
        return (latents - shift) / scale

    def decode(self, latents_BCTHW: Tensor) -> Tensor:
        """Normalised latents -> pixels in [-1, 1], float32 [B, 3, 1 + stride * (T - 1), s H, s W]."""
        return self.decode_raw(latents_BCTHW).clamp_(-1, 1)

    def decode_raw(self, latents_BCTHW: Tensor) -> Tensor:
        """The same before the clamp, for training: an error beyond white must have a gradient."""
        return self._decode(latents_BCTHW, StreamCache())[:, :, self.temporal_stride - 1 :]

    def decode_stream(self, latents_BCTHW: Tensor, sizes: int | Sequence[int] = 1) -> Iterator[Tensor]:
        """The pixels of `decode` in pieces of so many latent frames: the first is 1 frame, others `temporal_stride`."""
        cache = StreamCache()
        for index, piece in enumerate(latents_BCTHW.split(sizes, dim=2)):
            pixels = self._decode(piece, cache).clamp_(-1, 1)
            yield pixels if index else pixels[:, :, self.temporal_stride - 1 :]

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _decode(self, latents_BCTHW: Tensor, cache: StreamCache) -> Tensor:
        shift, scale = self._normalisation(latents_BCTHW)
        z = (latents_BCTHW.float() * scale + shift).to(self._dtype).transpose(1, 2)
        return self.decoder(z, cache)

    def _normalisation(self, like: Tensor) -> tuple[Tensor, Tensor]:
        channels = self.latent_channels
        mean, std = self.config.latent_mean or (0.0,) * channels, self.config.latent_std or (1.0,) * channels
        return per_channel(mean, like), per_channel(std, like)


class PreviewCodec(nn.Module):
    """The exact codec's encoder with a light decoder of the same latents: fast, approximate. A LatentCodec."""

    def __init__(self, exact: WanVAE, light: LightCodec) -> None:
        super().__init__()
        self.exact, self.light = exact, light
        self.latent_channels = exact.latent_channels
        self.temporal_stride, self.spatial_stride = exact.temporal_stride, exact.spatial_stride

    def encode(self, pixels_BCFHW: Tensor) -> Tensor:
        """As the exact codec."""
        return self.exact.encode(pixels_BCFHW)

    def decode(self, latents_BCTHW: Tensor) -> Tensor:
        """As the light codec."""
        return self.light.decode(latents_BCTHW)

    def decode_stream(self, latents_BCTHW: Tensor, sizes: int | Sequence[int] = 1) -> Iterator[Tensor]:
        """As the light codec."""
        return self.light.decode_stream(latents_BCTHW, sizes)


def _encoder(config: LightCodecConfig) -> nn.Sequential:
    width = config.encoder_width
    layers: list[nn.Module] = [_conv(RGB * config.pixel_patch**2, width), nn.ReLU()]
    for doubles, blocks in zip(config.temporal_downsample, config.encoder_blocks, strict=True):
        layers += [JoinFrames(width, 2 if doubles else 1), _conv(width, width, stride=2, bias=False)]
        layers += [MemoryBlock(width) for _ in range(blocks)]
    return nn.Sequential(*layers, _conv(width, config.latent_channels))


def _decoder_layers(config: LightCodecConfig) -> list[nn.Module]:
    widths = config.decoder_widths
    layers: list[nn.Module] = [SoftClamp(), _conv(config.latent_channels, widths[0]), nn.ReLU()]
    for level, (doubles, blocks) in enumerate(zip(config.temporal_upsample, config.decoder_blocks, strict=True)):
        width = widths[level]
        layers += [MemoryBlock(width) for _ in range(blocks)]
        layers += [nn.Upsample(scale_factor=2), SplitFrames(width, 2 if doubles else 1)]
        layers += [_conv(width, widths[level + 1], bias=False)]
    return [*layers, nn.ReLU(), _conv(widths[-1], RGB * config.pixel_patch**2)]


def _conv(in_channels: int, out_channels: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=bias)


def _run(layers: nn.Sequential, x_BTCHW: Tensor, cache: StreamCache) -> Tensor:
    for layer in layers:
        x_BTCHW = _call(layer, x_BTCHW, cache)
    return x_BTCHW


def _call(layer: nn.Module, x_BTCHW: Tensor, cache: StreamCache) -> Tensor:
    if isinstance(layer, MemoryBlock):
        return layer(x_BTCHW, cache)
    return layer(x_BTCHW) if isinstance(layer, (JoinFrames, SplitFrames)) else _per_frame(layer, x_BTCHW)


def _per_frame(layer: nn.Module, x_BTCHW: Tensor) -> Tensor:
    return layer(x_BTCHW.flatten(0, 1)).unflatten(0, x_BTCHW.shape[:2])
