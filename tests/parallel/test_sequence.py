"""The law of the split transformer: any size on any number of ranks gives what one rank gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from flashtalk.config import Config, DiTConfig
from flashtalk.config_parallel import ParallelConfig
from flashtalk.errors import ConfigError, InputError
from flashtalk.models.dit import DiT
from flashtalk.ops.attention import attend_sdpa
from flashtalk.parallel.exchange import gather, shares
from flashtalk.parallel.groups import Ranks
from flashtalk.parallel.ring import attend_with_log_sum, merge
from flashtalk.parallel.sequence import PaddedAttention, TokenShare, parallelise_dit
from flashtalk.parallel.xdit import equal_shares, full_shares
from flashtalk.types import Attend, Grid
from tests.parallel.pool import Pool

SIZES = [(3, 6, 10), (5, 2, 2), (3, 8, 4), (9, 10, 6), (2, 14, 2), (1, 2, 6)]
"""Latent frames, rows and columns: 45 tokens, 5, 24, 135, 14 and 3. Cuts go through frames; some ranks have none."""


def six_heads(config: Config) -> DiTConfig:
    """Heads that divide by 2 and 3, not by 4."""
    return dataclasses.replace(config.model.dit, num_heads=6, dim=48)


def velocities(
    config: DiTConfig,
    sizes: Sequence[tuple[int, int, int]],
    dtype: torch.dtype,
    parts: tuple[Ranks, ParallelConfig] | None = None,
    *,
    device: str = "cpu",
    compiler: str = "",
    attend: Attend = attend_sdpa,
) -> list[Tensor]:
    """Forwards of one network drawn from a seed, alone or as part of a group, on the host."""
    torch.manual_seed(3)
    dit = DiT(config).to(device, dtype).eval().requires_grad_(False)
    dit.set_attention(attend)
    if parts:
        parallelise_dit(dit, *parts, attend)
    if compiler:
        for block in dit.blocks:
            block.compile(fullgraph=True, dynamic=False, backend=compiler)
    return [forward(dit, size, device, dtype).cpu() for size in sizes]


def forward(dit: DiT, size: tuple[int, int, int], device: str, dtype: torch.dtype) -> Tensor:
    config, draw = dit.config, torch.Generator().manual_seed(5)

    def noise(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=draw, dtype=torch.float64).to(device, dtype)

    positions = dit.positions(dit.grid(*size), torch.device(device))
    windows = noise(1 + 4 * (size[0] - 1), config.audio_window, config.audio_layers * config.audio_dim)
    return dit(
        noise(config.latent_channels, *size),
        noise(config.latent_channels + config.temporal_stride, *size),
        dit.embed_time(torch.tensor([900.0])),
        positions,
        dit.embed_context(noise(5, config.text_dim), noise(7, config.image_dim)),
        dit.embed_audio(windows, positions.layout),
    )


def split_velocities(ranks: Ranks, parallel: ParallelConfig, *arguments: Any, **options: Any) -> list[Tensor]:
    config, sizes, dtype = arguments
    return velocities(config, sizes, dtype, (ranks, parallel), **options)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-6), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("world", "degree"), [(2, None), (3, None), (4, None), (4, 1), (3, 1), (2, 1)])
def test_any_size_on_any_number_of_ranks_is_the_one_rank_result(
    pool: Pool, tiny_config: Config, world: int, degree: int | None, dtype: torch.dtype, bound: float
) -> None:
    """Ulysses on 2 and 3, two by two on 4 (six heads), rings of 2, 3 and 4. Velocities are float32."""
    config, parallel = six_heads(tiny_config), ParallelConfig(ranks=world, ulysses_degree=degree)
    alone = velocities(config, SIZES, dtype)
    for parts in pool.run(world, split_velocities, parallel, config, SIZES, dtype):
        for part, whole in zip(parts, alone, strict=True):
            assert (part - whole).abs().max() / whole.abs().max() < bound


def compiled_velocities(ranks: Ranks, *arguments: Any) -> list[Tensor]:
    return split_velocities(ranks, *arguments, compiler="aot_eager")


@pytest.mark.parametrize(("world", "degree"), [(2, None), (2, 1), (4, None)])
def test_the_compiler_takes_blocks_whole(pool: Pool, tiny_config: Config, world: int, degree: int | None) -> None:
    """Exchanges are in the graph: fullgraph refuses whatever breaks it. A new size is a new graph."""
    config, parallel = six_heads(tiny_config), ParallelConfig(ranks=world, ulysses_degree=degree)
    alone = velocities(config, SIZES[:2], torch.float32)
    for parts in pool.run(world, compiled_velocities, parallel, config, SIZES[:2], torch.float32):
        for part, whole in zip(parts, alone, strict=True):
            assert (part - whole).abs().max() / whole.abs().max() < 1e-5


def attend_padded(ranks: Ranks) -> list[Tensor]:
    """PaddedAttention through one that does what xDiT's does: equal shares, keys cut after the last real one."""
    made = []
    for tokens in (12, 13, 5):
        q, k, v = (torch.randn(1, tokens, 4, 8, generator=torch.Generator().manual_seed(i)).double() for i in range(3))
        share = TokenShare(ranks.team, full_shares)
        layout = share.layout(Grid(1, 2, 2 * tokens))
        assert layout.grid.tokens == tokens

        def usp(q: Tensor, k: Tensor, v: Tensor, real: int) -> Tensor:
            assert q.shape == k.shape == v.shape
            keys, values = (gather(x, 2, [x.shape[2]] * ranks.world, ranks.team)[:, :, :real] for x in (k, v))
            return torch.nn.functional.scaled_dot_product_attention(q, keys, values)

        own = PaddedAttention(share, usp)(*(share.split(x, layout) for x in (q, k, v)))
        made.append(share.gather(own, layout) - attend_sdpa(q, k, v))
    return made


def test_padding_is_never_attended_to(pool: Pool) -> None:
    for parts in pool.run(3, attend_padded):
        assert all(part.abs().max() < 1e-12 for part in parts)


def test_shares_fit() -> None:
    for length in range(40):
        for ranks in range(1, 9):
            even, full = shares(length, ranks), full_shares(length, ranks)
            assert sum(even) == sum(full) == length
            assert max(even) - min(even) <= 1
            assert all(part == max(full) for part in full[: length // max(1, *full)])


def test_rings_of_xdit_take_equal_shares_only() -> None:
    assert equal_shares(12, 3) == (4, 4, 4)
    with pytest.raises(InputError, match="exchange own"):
        equal_shares(13, 3)


def test_xdit_is_refused_where_there_is_no_gpu(pool: Pool, tiny_config: Config) -> None:
    assert pool.run(2, ask_for_xdit, tiny_config.model.dit, exchange="xfuser") == ["config", "config"]


def ask_for_xdit(ranks: Ranks, config: DiTConfig) -> str:
    with pytest.raises(ConfigError, match="own") as caught:
        parallelise_dit(DiT(config), ranks, ParallelConfig(ranks=ranks.world, exchange="xfuser"), attend_sdpa)
    return caught.value.code


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_of_a_softmax_merge_to_the_whole(dtype: torch.dtype) -> None:
    """Also where one part holds all the weight: logarithms neither overflow nor vanish."""
    q, k, v = (torch.randn(2, length, 3, 8, dtype=dtype) for length in (5, 11, 11))
    k[:, 4:] *= 40
    first, second = (attend_with_log_sum(q, k[:, s], v[:, s]) for s in (slice(0, 4), slice(4, 11)))
    merged, _ = merge(*first, *second)
    torch.testing.assert_close(merged, attend_sdpa(q, k, v), rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-13)
