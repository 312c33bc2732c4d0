"""A codec of which each rank computes some rows: halos before each convolution, one attention over all rows.

Attached from outside by engine/ranks.py: hooks bring the neighbours' rows, the codec's own forward stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flashtalk.models.vae import FrameAttention
from flashtalk.ops.attention import attend_sdpa
from flashtalk.parallel.exchange import gather, shares, with_neighbours
from flashtalk.parallel.groups import ALONE, Team
from flashtalk.types import LatentCodec


class RowCodec(nn.Module):
    """A LatentCodec equal to `inner` on one rank; pictures go in whole and come out whole, on every rank.

    Rows are cut between latent cells, as evenly as they divide. A picture with fewer rows of cells than ranks is
    computed whole by each rank: there is less work than there are ranks.
    """

    def __init__(self, inner: LatentCodec, team: Team) -> None:
        super().__init__()
        assert isinstance(inner, nn.Module), "a codec is a module"
        self.inner = inner
        self.latent_channels = inner.latent_channels
        self.temporal_stride, self.spatial_stride = inner.temporal_stride, inner.spatial_stride
        self._rows = Rows(team)
        _attach(inner, self._rows)

    def encode(self, pixels_BCFHW: Tensor) -> Tensor:
        """See LatentCodec."""
        counts = self._rows.cut(pixels_BCFHW.shape[-2] // self.spatial_stride)
        latents = self.inner.encode(self._rows.own(pixels_BCFHW, self.spatial_stride))
        return self._rows.joined(latents, counts)

    def decode(self, latents_BCTHW: Tensor) -> Tensor:
        """See LatentCodec."""
        counts = self._rows.cut(latents_BCTHW.shape[-2])
        pixels = self.inner.decode(self._rows.own(latents_BCTHW, 1))
        return self._rows.joined(pixels, [count * self.spatial_stride for count in counts])

    def decode_stream(self, latents_BCTHW: Tensor, sizes: int | Sequence[int] = 1) -> Iterator[Tensor]:
        """See LatentCodec."""
        counts = self._rows.cut(latents_BCTHW.shape[-2])
        for pixels in self.inner.decode_stream(self._rows.own(latents_BCTHW, 1), sizes):
            yield self._rows.joined(pixels, [count * self.spatial_stride for count in counts])
            self._rows.cut(latents_BCTHW.shape[-2])  # others may have decoded meanwhile


class Rows:
    """Which rows of the picture in work this rank holds; shared by all hooks of one codec."""

    def __init__(self, team: Team) -> None:
        self._all = self.team = team
        self.counts: tuple[int, ...] = (0,) * team.size

    def cut(self, cells: int) -> tuple[int, ...]:
        """From now on pictures have so many rows of latent cells: those of each rank."""
        self.team = self._all if cells >= self._all.size else ALONE
        self.counts = shares(cells, self.team.size)
        return self.counts

    def own(self, picture: Tensor, stride: int) -> Tensor:
        """This rank's rows of a picture with `stride` rows a cell."""
        first = sum(self.counts[: self.team.rank])
        return picture.narrow(-2, first * stride, self.counts[self.team.rank] * stride)

    def joined(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The whole picture, on every rank."""
        return rows if self.team is ALONE else gather(rows, rows.ndim - 2, counts, self.team).contiguous()

    def with_halo(self, rows: Tensor, above: int, below: int) -> Tensor:
        """Own rows and those around them, zeros beyond the picture."""
        if self.team is ALONE:
            return nn.functional.pad(rows, (0, 0, above, below))
        return with_neighbours(rows, above, below, self.team)

    def attend(self, q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
        """Own rows attend to all rows of the picture."""
        if self.team is not ALONE:
            columns = q_BLNE.shape[1] // self.counts[self.team.rank]
            keys = torch.stack((k_BLNE, v_BLNE))
            k_BLNE, v_BLNE = gather(keys, 2, [count * columns for count in self.counts], self.team).unbind(0)
        return attend_sdpa(q_BLNE, k_BLNE, v_BLNE)


@dataclass(frozen=True)
class Halo:
    """A hook before a convolution: brings the rows that its kernel sees beyond this rank's."""

    rows: Rows
    above: int
    below: int

    def __call__(self, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs with more rows."""
        return self.rows.with_halo(inputs[0], self.above, self.below), *inputs[1:]


def _attach(codec: nn.Module, rows: Rows) -> None:
    for module in codec.modules():
        if hasattr(module, "in_pieces"):
            module.in_pieces = False  # type: ignore[assignment]
        if isinstance(module, FrameAttention):
            module.attend = rows.attend
        elif isinstance(module, nn.ZeroPad2d):
            left, right, above, _below = module.padding
            assert not above, "rows above come from the neighbour"
            module.padding = (left, right, 0, 0)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d)) and module.kernel_size[-2] > 1:
            _take_rows_from_neighbours(module, rows)


def _take_rows_from_neighbours(conv: nn.Conv2d | nn.Conv3d, rows: Rows) -> None:
    """Instead of zeros above and below. A share's height is a multiple of the stride: what is left below follows."""
    assert not isinstance(conv.padding, str), "padding in numbers"
    *others, above, beside = conv.padding
    below = conv.kernel_size[-2] - conv.stride[-2] - above
    conv.padding = (*others, 0, beside)  # type: ignore[assignment]
    conv.register_forward_pre_hook(Halo(rows, above, below))
