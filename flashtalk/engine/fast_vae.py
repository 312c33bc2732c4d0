"""The fast path of the Wan VAE: layers swapped for twins that move less memory. Called by engine/fast.py.

Its forward stays the model's own: whole chunks and streams alike, and rows of a picture that is split among GPUs (hooks
on convolutions bring the neighbours' rows, see parallel/vae.py).
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk.models.causal import CausalConv3d, StreamCache
from flashtalk.models.vae import ChannelNorm, Upsample, WanVAE
from flashtalk.ops.channel_norm import add_bias, norm_silu_into


class NormSiluConv(CausalConv3d):
    """Norm, SiLU, convolution. The first two write into a tensor with room for the frames that went before.

    Zeros stay zeros in front of the convolution, so rows beyond the picture may be given as such.
    """

    def __init__(self, norm: ChannelNorm, conv: CausalConv3d) -> None:
        with torch.device("meta"):
            super().__init__(conv.in_channels, conv.out_channels, cast("tuple[int, int, int]", conv.kernel_size))
        self.weight, self.bias, self.gamma = conv.weight, conv.bias, norm.gamma

    def forward(self, x_BCTHW: Tensor, cache: StreamCache) -> Tensor:  # type: ignore[override]
        """[B, C, T, H, W] -> [B, C', T, H, W]."""
        history = self.kernel_size[0] - 1
        full = empty_channels_last(x_BCTHW, x_BCTHW.shape[1], history + x_BCTHW.shape[2])
        norm_silu_into(full[:, :, history:], x_BCTHW, self.gamma.flatten())
        cache.fill(self, full, history)
        assert self.bias is not None, "the VAE's convolutions have one"
        if not full.is_cuda:
            return self._conv_forward(full, self.weight, self.bias)
        return add_bias(self._conv_forward(full, self.weight, None), self.bias)


class UpsampleConv(nn.Conv2d):
    """The 3x3 convolution of a picture of doubled rows and columns, without that picture.

    An output pixel sees two by two pixels of x; which, and by what weights, depends on whether its row and column are
    even. So one 2x2 convolution gives four pictures, and the result takes its pixels from them in turn. To the outside
    it is a 3x3 convolution of x: it sees as far.
    """

    phases: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        assert (conv.kernel_size, conv.padding) == ((3, 3), (1, 1)), "another convolution than the VAE's"
        with torch.device("meta"):
            super().__init__(conv.in_channels, conv.out_channels, 3, padding=1)
        self.weight, self.bias = conv.weight, conv.bias
        self.register_buffer("phases", phase_weights(conv.weight), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', 2H, 2W]. Rows that a split took from neighbours (no padding then) are not doubled."""
        pad_h, pad_w = (int(size) for size in self.padding)
        height, width = x_NCHW.shape[2] + 2 * pad_h - 2, x_NCHW.shape[3] + 2 * pad_w - 2
        corners = F.conv2d(x_NCHW, self.phases, padding=(pad_h, pad_w)).unflatten(1, (2, 2, -1))
        size = (len(x_NCHW), self.out_channels, 2 * height, 2 * width)
        out = torch.empty(size, dtype=x_NCHW.dtype, device=x_NCHW.device, memory_format=torch.channels_last)
        assert self.bias is not None, "the VAE's convolutions have one"
        for row in range(2):
            for column in range(2):
                part = corners[:, row, column, :, row : row + height, column : column + width]
                torch.add(part, self.bias.view(-1, 1, 1), out=out[:, :, row::2, column::2])
        return out


class FastUpsample(Upsample):
    """The same, channels last throughout, its convolution an UpsampleConv."""

    def __init__(self, plain: Upsample) -> None:
        nn.Module.__init__(self)
        self.resample = nn.Sequential(UpsampleConv(cast(nn.Conv2d, plain.resample[1])))
        self.time_conv = plain.time_conv

    @staticmethod
    def _interleave(x_BCTHW: Tensor, time_conv: CausalConv3d, cache: StreamCache) -> Tensor:
        even, odd = time_conv(x_BCTHW, cache).chunk(2, dim=1)
        out = empty_channels_last(even, even.shape[1], 2 * even.shape[2])
        out[:, :, 0::2], out[:, :, 1::2] = even, odd
        return out


def make_codec_fast(codec: nn.Module) -> None:
    """Swap the layers of the Wan VAE in `codec`, in place."""
    for vae in [module for module in codec.modules() if isinstance(module, WanVAE)]:
        for module in list(vae.modules()):
            _swap_layers(module)
        for weight in vae.parameters():
            weight.data = _channels_last(weight.data)


def empty_channels_last(like: Tensor, channels: int, frames: int) -> Tensor:
    """Room for [B, channels, frames, H, W], pixel after pixel with all its channels."""
    size = (len(like), channels, frames, *like.shape[3:])
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last_3d)


def _swap_layers(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, Upsample):
            setattr(module, name, FastUpsample(child))
    if isinstance(module, nn.Sequential):
        _join_norms(module)


def _join_norms(layers: nn.Sequential) -> None:
    """Places in the list are names of weights: they stay, and some hold nothing."""
    busy = [i for i, layer in enumerate(layers) if not isinstance(layer, nn.Identity)]
    for i, j, k in zip(busy, busy[1:], busy[2:], strict=False):
        norm, silu, conv = layers[i], layers[j], layers[k]
        if isinstance(norm, ChannelNorm) and isinstance(silu, nn.SiLU) and type(conv) is CausalConv3d:
            layers[i], layers[j], layers[k] = nn.Identity(), nn.Identity(), NormSiluConv(norm, conv)


def _channels_last(weight: Tensor) -> Tensor:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return weight.contiguous(memory_format=formats.get(weight.ndim, torch.preserve_format))


def phase_weights(weight_OIHW: Tensor) -> Tensor:
    """[O, I, 3, 3] -> [4 O, I, 2, 2]: for even rows the lower two of three fall on one row of x, for odd the upper."""

    def folded(weight: Tensor, dim: int, phase: int) -> Tensor:
        first, second, third = weight.unbind(dim)
        return torch.stack((first, second + third) if phase == 0 else (first + second, third), dim)

    wide = weight_OIHW.double()
    phases = [folded(folded(wide, 2, row), 3, column) for row in range(2) for column in range(2)]
    return torch.cat(phases).to(weight_OIHW.dtype).contiguous(memory_format=torch.channels_last)
