"""The fast path of the light codec: linear layers joined, channels last throughout, decoding in pieces that stay in a
CPU's caches. Called by engine/fast.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk.engine.fast_vae import phase_weights
from flashtalk.models.causal import StreamCache
from flashtalk.models.light_codec import RGB, Decoder, JoinFrames, LightCodec, MemoryBlock, SplitFrames

CACHED_BYTES = 2**21
"""Of a level's frames that a CPU takes at a time: larger pieces leave its caches, and need fresh memory every time."""


class FastMemoryBlock(MemoryBlock):
    """The same, channels last throughout."""

    def __init__(self, plain: MemoryBlock) -> None:
        nn.Module.__init__(self)
        first, _, second, _, third = plain.conv
        self.conv = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True), third)

    def forward(self, x_BTCHW: Tensor, cache: StreamCache) -> Tensor:
        """Same shape out."""
        batch, frames, width, *size = x_BTCHW.shape
        # One frame too many: what is `before` in it goes on to the next piece.
        room_BTCHW = _empty_like(x_BTCHW, batch, frames + 1, *size, 2 * width).movedim(4, 2)
        own, before = room_BTCHW.chunk(2, dim=2)
        own[:, :-1] = before[:, 1:] = x_BTCHW
        cache.fill(self, before.transpose(1, 2), 1)
        return _per_frame(self.conv, room_BTCHW[:, :-1]).add_(x_BTCHW).relu_()


class SplitUpConv(nn.Conv2d):
    """Rows and columns doubled, frames split, a 3x3 convolution: all by one 2x2 convolution of the small picture.

    Nothing stands between the three, so they are one linear map. It takes 4/9 of the products, and the large picture is
    written once. How: see fast_vae.UpsampleConv; as that, it is a 3x3 convolution of x to the outside.
    """

    def __init__(self, split: SplitFrames, conv: nn.Conv2d) -> None:
        assert (conv.kernel_size, conv.padding, conv.bias) == ((3, 3), (1, 1), None), "another convolution"
        with torch.device("meta"):
            super().__init__(conv.in_channels, split.stride * conv.out_channels, 3, padding=1, bias=False)
        self.frames = split.stride
        self.weight = nn.Parameter(phase_weights(_composed(split, conv)).to(conv.weight.dtype), requires_grad=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] -> [B, T * frames, C', 2H, 2W]. Rows that a split took from neighbours are not doubled."""
        pad_h, pad_w = (int(size) for size in self.padding)
        height, width = x_BTCHW.shape[3] + 2 * pad_h - 2, x_BTCHW.shape[4] + 2 * pad_w - 2
        corners = F.conv2d(x_BTCHW.flatten(0, 1), self.weight, padding=(pad_h, pad_w))
        parts = corners.movedim(1, 3).unflatten(3, (2, 2, self.frames, -1))
        out = _empty_like(corners, len(corners), self.frames, 2 * height, 2 * width, parts.shape[-1])
        for row in range(2):
            for column in range(2):
                part = parts[:, row : row + height, column : column + width, row, column]
                out[:, :, row::2, column::2] = part.movedim(3, 1)
        return out.movedim(4, 2).unflatten(0, x_BTCHW.shape[:2]).flatten(1, 2)


class JoinConv(JoinFrames):
    """Frames joined, then a 3x3 convolution that halves the picture: one convolution of all that it joins."""

    def __init__(self, join: JoinFrames, conv: nn.Conv2d) -> None:
        nn.Module.__init__(self)
        assert (conv.kernel_size, conv.stride, conv.padding, conv.bias) == ((3, 3), (2, 2), (1, 1), None), "another one"
        self.stride, joined = join.stride, join.conv.in_channels
        with torch.device("meta"):
            self.conv = nn.Conv2d(joined, conv.out_channels, 3, stride=2, padding=1, bias=False)
        mix = join.conv.weight.double().flatten(1)
        kernel = torch.einsum("omhw,mi->oihw", conv.weight.double(), mix).to(conv.weight.dtype)
        self.conv.weight = nn.Parameter(kernel, requires_grad=False)

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """[B, T, C, H, W] -> [B, T / stride, C, H / 2, W / 2]."""
        side_by_side = x_BTCHW.unflatten(1, (-1, self.stride)).movedim((2, 3), (4, 5)).flatten(4, 5)
        return _per_frame(self.conv, side_by_side.movedim(4, 2))


class Level(nn.Sequential):
    """Layers that see pictures of one size; the last of them doubles it, but for the last level's."""

    def forward(self, x_BTCHW: Tensor, cache: StreamCache) -> Tensor:  # type: ignore[override]
        """[B, T, C, H, W] -> [B, T * frames, C', 2H, 2W]."""
        for layer in self:
            if isinstance(layer, MemoryBlock):
                x_BTCHW = layer(x_BTCHW, cache)
            else:
                x_BTCHW = layer(x_BTCHW) if isinstance(layer, SplitUpConv) else _per_frame(layer, x_BTCHW)
        return x_BTCHW


class FastDecoder(Decoder):
    """The same in levels."""

    in_pieces = True
    """Off where rows are split among ranks: what fits a cache depends on a share, and ranks exchange alike."""

    def __init__(self, plain: Decoder) -> None:
        nn.Sequential.__init__(self, *_levels(plain))
        self.pixel_patch = plain.pixel_patch
        self.frames = math.prod(module.frames for module in self.modules() if isinstance(module, SplitUpConv))

    def forward(self, z_BTCHW: Tensor, cache: StreamCache) -> Tensor:  # type: ignore[override]
        """As the plain one. The colours of a pixel lie side by side in memory, as frames will."""
        batch, count, _, height, width = z_BTCHW.shape
        patch, scale = self.pixel_patch, 2 ** (len(self) - 1)
        size = (batch, self.frames * count, scale * height, patch, scale * width, patch * RGB)
        pixels, done = torch.empty(size, dtype=torch.float32, device=z_BTCHW.device), 0
        for x_BTCHW in self.patches(z_BTCHW, cache):
            values = x_BTCHW.float().mul_(2).sub_(1).movedim(2, 4).unflatten(4, (patch, -1))
            pixels[:, done : done + x_BTCHW.shape[1]] = values.transpose(3, 4)
            done += x_BTCHW.shape[1]
        return pixels.flatten(2, 3).unflatten(4, (patch, RGB)).flatten(3, 4).movedim(4, 1)

    def patches(self, z_BTCHW: Tensor, cache: StreamCache) -> Iterator[Tensor]:
        """What the last layer gives, some frames at a time; its channels are (row, column, colour)."""
        on_cpu = z_BTCHW.device.type == "cpu"
        most_bytes = CACHED_BYTES if on_cpu and self.in_pieces else None
        return _in_pieces([cast(Level, level) for level in self], z_BTCHW, cache, most_bytes)


def make_light_fast(codec: LightCodec) -> None:
    """Swap the layers of both ends, in place."""
    codec.decoder = FastDecoder(codec.decoder)
    _join_in_place(codec.encoder)
    codec.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _in_pieces(
    levels: Sequence[Level], x_BTCHW: Tensor, cache: StreamCache, most_bytes: int | None
) -> Iterator[Tensor]:
    """Depth first: what a level made of a piece goes through all others before its next piece."""
    if not levels:
        yield x_BTCHW
        return
    frames = x_BTCHW.shape[1]
    at_once = max(1, frames * most_bytes // x_BTCHW.nbytes) if most_bytes else frames
    for piece_BTCHW in x_BTCHW.split(at_once, dim=1):
        yield from _in_pieces(levels[1:], levels[0](piece_BTCHW, cache), cache, most_bytes)


def _levels(plain: Decoder) -> Iterator[Level]:
    layers, level = iter(plain), list[nn.Module]()
    for layer in layers:
        if isinstance(layer, nn.Upsample):
            split, conv = cast(SplitFrames, next(layers)), cast(nn.Conv2d, next(layers))
            yield Level(*level, SplitUpConv(split, conv))
            level = []
        else:
            level.append(_fast(layer))
    _order_patches(cast(nn.Conv2d, level[-1]), plain.pixel_patch)
    yield Level(*level)


def _join_in_place(layers: nn.Sequential) -> None:
    """The encoder's: places in the list are names of weights, so one stays that does nothing."""
    for i, layer in enumerate(layers):
        layers[i] = _fast(layer)
        if isinstance(layer, JoinFrames):
            layers[i], layers[i + 1] = JoinConv(layer, cast(nn.Conv2d, layers[i + 1])), nn.Identity()


def _fast(layer: nn.Module) -> nn.Module:
    if isinstance(layer, MemoryBlock):
        return FastMemoryBlock(layer)
    return nn.ReLU(inplace=True) if isinstance(layer, nn.ReLU) else layer


def _order_patches(conv: nn.Conv2d, patch: int) -> None:
    """Output channels (colour, row, column), as pixel_shuffle takes them, -> (row, column, colour)."""
    assert conv.bias is not None, "the last convolution has one"
    for name in ("weight", "bias"):
        ordered = getattr(conv, name).unflatten(0, (RGB, patch, patch)).movedim(0, 2).flatten(0, 2)
        setattr(conv, name, nn.Parameter(ordered, requires_grad=False))


def _composed(split: SplitFrames, conv: nn.Conv2d) -> Tensor:
    """The kernel, float64 [frames * O, I, 3, 3], of `conv` after the 1x1 convolution of `split`; doubling commutes."""
    mix = split.conv.weight.double().flatten(1).unflatten(0, (split.stride, -1))
    return torch.einsum("omhw,fmi->foihw", conv.weight.double(), mix).flatten(0, 1)


def _empty_like(x: Tensor, *size: int) -> Tensor:
    return torch.empty(size, dtype=x.dtype, device=x.device)


def _per_frame(layer: nn.Module, x_BTCHW: Tensor) -> Tensor:
    return layer(x_BTCHW.flatten(0, 1)).unflatten(0, x_BTCHW.shape[:2])
