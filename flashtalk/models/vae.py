"""The Wan2.1 VAE: video <-> latents with stride 4 x 8 x 8, causal in time. A LatentCodec; called by pipeline/.

Attribute names are the published tensor names. Decoding latent by latent with a StreamCache is the same function as
decoding all at once: there is one forward, and `decode` is `decode_stream` with everything in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk.config_codec import WanVAEConfig
from flashtalk.models.causal import CausalConv3d, StreamCache
from flashtalk.ops.attention import attend_sdpa
from flashtalk.ops.constants import per_channel
from flashtalk.types import Attend


class ChannelNorm(nn.Module):
    """x / ||x||_2 over channels * sqrt(C) * gamma."""

    def __init__(self, channels: int, space_dims: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * space_dims))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] -> same."""
        return F.normalize(x, dim=1) * (self.gamma * x.shape[1] ** 0.5)


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, plus shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            ChannelNorm(in_channels),
            nn.SiLU(),
            CausalConv3d(in_channels, out_channels, 3),
            ChannelNorm(out_channels),
            nn.SiLU(),
            nn.Identity(),  # dropout in the published layout: keeps the number of the next layer
            CausalConv3d(out_channels, out_channels, 3),
        )
        self.shortcut = CausalConv3d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x_BCTHW: Tensor, cache: StreamCache) -> Tensor:
        """[B, C, T, H, W] -> [B, C', T, H, W]."""
        return _run(self.residual, x_BCTHW, cache) + _call(self.shortcut, x_BCTHW, cache)


class FrameAttention(nn.Module):
    """One-head self-attention inside each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attend: Attend = attend_sdpa
        self.norm = ChannelNorm(channels, space_dims=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Same shape out."""
        frames = x_BCTHW.transpose(1, 2).flatten(0, 1)
        q, k, v = self.to_qkv(self.norm(frames)).flatten(2).transpose(1, 2).unsqueeze(2).chunk(3, dim=-1)
        out = self.attend(q, k, v).squeeze(2).transpose(1, 2).unflatten(2, frames.shape[2:])
        return x_BCTHW + self.proj(out).unflatten(0, (len(x_BCTHW), -1)).transpose(1, 2)


class Downsample(nn.Module):
    """Halves rows and columns and, if `in_time`, frames; a stream's first frame stays by itself."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if in_time else None

    def forward(self, x_BCTHW: Tensor, cache: StreamCache) -> Tensor:
        """[B, C, T, H, W] -> [B, C, T', H/2, W/2]; T' = (T + 1) / 2 at the start of a stream, T / 2 later."""
        x = _per_frame(self.resample, x_BCTHW)
        if self.time_conv is None:
            return x
        joined = cache.recall(self.time_conv, x)
        if joined is not None:
            return self.time_conv(joined)
        return x if x.shape[2] == 1 else torch.cat((x[:, :, :1], self.time_conv(x)), dim=2)


class Upsample(nn.Module):
    """Doubles rows and columns and, if `in_time`, frames; a stream's first frame is not doubled."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels // 2, 3, padding=1))
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1)) if in_time else None

    def forward(self, x_BCTHW: Tensor, cache: StreamCache) -> Tensor:
        """[B, C, T, H, W] -> [B, C/2, T', 2H, 2W]; T' = 2 T - 1 at the start of a stream, 2 T later."""
        return _per_frame(self.resample, self._double_frames(x_BCTHW, cache))

    def _double_frames(self, x_BCTHW: Tensor, cache: StreamCache) -> Tensor:
        if self.time_conv is None:
            return x_BCTHW
        if cache.started(self):
            return self._interleave(x_BCTHW, self.time_conv, cache)
        first, later = x_BCTHW[:, :, :1], x_BCTHW[:, :, 1:]
        # The first frame is no history of the time convolution either: the published decoder begins with zeros.
        return torch.cat((first, self._interleave(later, self.time_conv, cache)), dim=2) if later.shape[2] else first

    @staticmethod
    def _interleave(x_BCTHW: Tensor, time_conv: CausalConv3d, cache: StreamCache) -> Tensor:
        pairs = time_conv(x_BCTHW, cache).unflatten(1, (2, -1))
        return pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)


class Encoder(nn.Module):
    """Pixels -> mean and log-variance features."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        widths = [config.base_dim * mult for mult in config.dim_mult]
        self.conv1 = CausalConv3d(3, widths[0], 3)
        layers: list[nn.Module] = []
        width = widths[0]
        for level, out in enumerate(widths):
            for _ in range(config.num_res_blocks):
                layers.append(ResidualBlock(width, out))
                width = out
            if level < len(config.temporal_downsample):
                layers.append(Downsample(out, config.temporal_downsample[level]))
        self.downsamples = nn.Sequential(*layers)
        self.middle = _middle(width)
        self.head = _head(width, 2 * config.latent_channels)

    def forward(self, x_BCFHW: Tensor, cache: StreamCache) -> Tensor:
        """[B, 3, F, H, W] -> [B, 2 C, T, H/8, W/8]."""
        x = self.conv1(x_BCFHW, cache)
        for part in (self.downsamples, self.middle, self.head):
            x = _run(part, x, cache)
        return x


class Decoder(nn.Module):
    """Latents -> pixels."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        widths = [config.base_dim * mult for mult in reversed(config.dim_mult)]
        in_time = tuple(reversed(config.temporal_downsample))
        self.conv1 = CausalConv3d(config.latent_channels, widths[0], 3)
        self.middle = _middle(widths[0])
        layers: list[nn.Module] = []
        width = widths[0]
        for level, out in enumerate(widths):
            for _ in range(config.num_res_blocks + 1):
                layers.append(ResidualBlock(width, out))
                width = out
            if level < len(in_time):
                layers.append(Upsample(out, in_time[level]))
                width = out // 2
        self.upsamples = nn.Sequential(*layers)
        self.head = _head(width, 3)

    def forward(self, z_BCTHW: Tensor, cache: StreamCache) -> Tensor:
        """[B, C, T, H, W] -> [B, 3, F, 8H, 8W]."""
        x = self.conv1(z_BCTHW, cache)
        for part in (self.middle, self.upsamples, self.head):
            x = _run(part, x, cache)
        return x


class WanVAE(nn.Module):
    """The published VAE as a LatentCodec."""

    def __init__(self, config: WanVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.latent_channels = config.latent_channels
        self.temporal_stride, self.spatial_stride = config.temporal_stride, config.spatial_stride
        self.encoder = Encoder(config)
        self.conv1 = CausalConv3d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.conv2 = CausalConv3d(config.latent_channels, config.latent_channels, 1)
        self.decoder = Decoder(config)

    def encode(self, pixels_BCFHW: Tensor) -> Tensor:
        """Pixels in [-1, 1], F = 1 + 4 n -> normalised mean, float32 [B, C, 1 + n, H/8, W/8]."""
        cache = StreamCache()
        features = self.encoder(pixels_BCFHW.to(self.conv1.weight.dtype), cache)
        mean, _log_variance = self.conv1(features, cache).float().chunk(2, dim=1)
        config = self.config
        return (mean - per_channel(config.latent_mean, mean)) / per_channel(config.latent_std, mean)

    def decode(self, latents_BCTHW: Tensor) -> Tensor:
        """Normalised latents -> pixels in [-1, 1], float32 [B, 3, 1 + 4 (T - 1), 8H, 8W]."""
        return self._decode(latents_BCTHW, StreamCache())

    def decode_stream(self, latents_BCTHW: Tensor, sizes: int | Sequence[int] = 1) -> Iterator[Tensor]:
        """The pixels of `decode` in pieces of so many latent frames: the first is 1 frame, each later one 4."""
        cache = StreamCache()
        for piece in latents_BCTHW.split(sizes, dim=2):
            yield self._decode(piece, cache)

    def _decode(self, latents_BCTHW: Tensor, cache: StreamCache) -> Tensor:
        z = latents_BCTHW.float()
        z = z * per_channel(self.config.latent_std, z) + per_channel(self.config.latent_mean, z)
        z = z.to(self.conv2.weight.dtype)
        return self.decoder(self.conv2(z, cache), cache).float().clamp(-1, 1)


def _middle(width: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(width, width), FrameAttention(width), ResidualBlock(width, width))


def _head(width: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ChannelNorm(width), nn.SiLU(), CausalConv3d(width, out_channels, 3))


def _run(layers: nn.Sequential, x: Tensor, cache: StreamCache) -> Tensor:
    for layer in layers:
        x = _call(layer, x, cache)
    return x


def _call(layer: nn.Module, x: Tensor, cache: StreamCache) -> Tensor:
    return layer(x, cache) if isinstance(layer, _WITH_HISTORY) else layer(x)


def _per_frame(layer: nn.Module, x_BCTHW: Tensor) -> Tensor:
    frames = layer(x_BCTHW.transpose(1, 2).flatten(0, 1))
    return frames.unflatten(0, (len(x_BCTHW), -1)).transpose(1, 2)


_WITH_HISTORY = (CausalConv3d, ResidualBlock, Downsample, Upsample)
