"""Laws of the transformer: shapes, shares of the tokens, what may influence what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from flashtalk.config import Config
from flashtalk.models.blocks import AudioAttention
from flashtalk.models.dit import DiT, TimeEmbedding
from flashtalk.models.rope import Positions, rotary_positions, rotate
from flashtalk.ops.attention import attend_sdpa
from flashtalk.types import AudioContext, Context, Grid, TokenLayout

CPU = torch.device("cpu")
FRAMES = 3


class Inputs(NamedTuple):
    latents: Tensor
    reference: Tensor
    time: TimeEmbedding
    positions: Positions
    context: Context
    audio: AudioContext


@pytest.fixture(scope="module")
def dit(tiny_config: Config) -> DiT:
    torch.manual_seed(3)
    return DiT(tiny_config.model.dit).double().eval().requires_grad_(False)


def make_inputs(dit: DiT, height: int = 6, width: int = 10, batch: int = 1) -> Inputs:
    config = dit.config
    draw = torch.Generator().manual_seed(5)

    def noise(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=draw, dtype=torch.float64)

    return Inputs(
        noise(config.latent_channels, FRAMES, height, width),
        noise(config.latent_channels + config.temporal_stride, FRAMES, height, width),
        dit.embed_time(torch.full((batch,), 900.0)),
        dit.positions(dit.grid(FRAMES, height, width), CPU),
        dit.embed_context(noise(5, config.text_dim), noise(7, config.image_dim)),
        dit.embed_audio(noise(1 + 4 * (FRAMES - 1), config.audio_window, config.audio_layers * config.audio_dim)),
    )


@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 10), (8, 4)])
def test_velocity_has_the_shape_of_the_latents(dit: DiT, height: int, width: int) -> None:
    inputs = make_inputs(dit, height, width)
    velocity = dit(*inputs)
    assert velocity.shape == inputs.latents.shape
    assert velocity.dtype == torch.float32


@pytest.mark.parametrize(
    "changes",
    [
        {"patch_size": (1, 1, 1)},
        {"patch_size": (1, 4, 2)},
        {"num_heads": 3},
        {"audio_window": 3, "temporal_stride": 2},
        {"num_layers": 1, "audio_tokens": 1},
    ],
)
def test_any_sizes_build_and_run(tiny_config: Config, changes: dict[str, Any]) -> None:
    config = replace(tiny_config.model.dit, **changes)
    dit = DiT(config).double().eval().requires_grad_(False)
    latents = torch.randn(1, config.latent_channels, FRAMES, 8, 4, dtype=torch.float64)
    frames = 1 + config.temporal_stride * (FRAMES - 1)
    windows = torch.randn(1, frames, config.audio_window, config.audio_layers * config.audio_dim, dtype=torch.float64)
    rows = torch.randn(1, 5, config.text_dim, dtype=torch.float64), torch.randn(1, 7, config.image_dim).double()
    velocity = dit(
        latents,
        torch.randn(1, config.in_channels - config.latent_channels, FRAMES, 8, 4, dtype=torch.float64),
        dit.embed_time(torch.tensor([500.0])),
        dit.positions(dit.grid(FRAMES, 8, 4), CPU),
        dit.embed_context(*rows),
        dit.embed_audio(windows),
    )
    assert velocity.shape == latents.shape
    assert velocity.isfinite().all()


def test_rows_of_a_batch_are_alone(dit: DiT) -> None:
    both = make_inputs(dit, batch=2)
    first = [value[:1] for value in (both.latents, both.reference)]
    time = TimeEmbedding(both.time.time_BD[:1], both.time.modulation_B6D[:1])
    context = tuple(_map(block, lambda x: x[:1]) for block in both.context)
    audio = tuple(_map(block, lambda x: x[:1]) for block in both.audio)
    alone = dit(*first, time, both.positions, context, audio)
    torch.testing.assert_close(dit(*both)[:1], alone)


def _map(value: object, f: Callable[[Tensor], Tensor]) -> object:
    if value is None or isinstance(value, Tensor):
        return value if value is None else f(value)
    return replace(value, **{name: _map(part, f) for name, part in vars(value).items()})  # type: ignore[type-var]


def test_text_padding_is_attended_to_as_in_training(dit: DiT) -> None:
    """Rows are padded with zeros to text_len before the embedding, and the padding is not masked."""
    text = torch.randn(1, 5, dit.config.text_dim, dtype=torch.float64)
    picture = torch.randn(1, 7, dit.config.image_dim, dtype=torch.float64)
    padded = torch.cat((text, text.new_zeros(1, dit.config.text_len - 5, dit.config.text_dim)), dim=1)
    short, full = dit.embed_context(text, picture), dit.embed_context(padded, picture)
    assert short[0].text.key.shape[1] == dit.config.text_len
    torch.testing.assert_close(short[0].text.key, full[0].text.key)


def test_sound_reaches_its_own_latent_frame_only(tiny_config: Config) -> None:
    attention = AudioAttention(tiny_config.model.dit).double()
    layout = TokenLayout.whole(Grid(FRAMES, 4, 4))
    x = torch.randn(1, layout.count, tiny_config.model.dit.dim, dtype=torch.float64)
    tokens = torch.randn(1, FRAMES, 4, tiny_config.model.dit.audio_token_dim, dtype=torch.float64)
    changed = tokens.clone()
    changed[:, 1] += 1
    before, after = (attention(x, attention.prepare(t), layout).unflatten(1, (FRAMES, -1)) for t in (tokens, changed))
    assert torch.equal(before[:, 0], after[:, 0])
    assert torch.equal(before[:, 2], after[:, 2])
    assert not torch.allclose(before[:, 1], after[:, 1])


@pytest.mark.parametrize("shares", [1, 2, 4, 5, 7])
def test_shares_of_the_tokens_join_to_the_whole(dit: DiT, shares: int) -> None:
    """What a sequence split does from outside: cut, compute each share, join. Cuts go through frames."""
    inputs = make_inputs(dit)
    whole = dit(*inputs)
    try:
        assert torch.allclose(run_in_shares(dit, inputs, shares), whole, atol=1e-6)
    finally:
        dit.set_sequence(type(dit.sequence)())
        dit.set_attention(attend_sdpa)


class OneShare:
    """A SequencePart whose gather is done by the test."""

    def __init__(self, layout: TokenLayout) -> None:
        self._layout = layout

    def layout(self, grid: Grid) -> TokenLayout:
        return self._layout

    def split(self, tokens: Tensor, layout: TokenLayout) -> Tensor:
        return tokens[:, layout.start : layout.start + layout.count]

    def gather(self, tokens: Tensor, layout: TokenLayout) -> Tensor:
        return tokens


def run_in_shares(dit: DiT, inputs: Inputs, shares: int) -> Tensor:
    """All shares in lockstep, block by block, in one process: keys and values of all shares are joined by hand."""
    grid = inputs.positions.layout.grid
    size = -(-grid.tokens // shares)
    starts = range(0, grid.tokens, size)
    layouts = [TokenLayout(grid, start, min(size, grid.tokens - start)) for start in starts]
    positions = [rotary_positions(layout, dit.config.head_dim, CPU) for layout in layouts]
    x = dit.patch_embedding(torch.cat((inputs.latents, inputs.reference), 1)).flatten(2).transpose(1, 2)
    tokens = [OneShare(layout).split(x, layout) for layout in layouts]
    for block, context, audio in zip(dit.blocks, inputs.context, inputs.audio, strict=True):
        seen: list[tuple[Tensor, Tensor]] = []

        def record(q: Tensor, k: Tensor, v: Tensor, seen: list[tuple[Tensor, Tensor]] = seen) -> Tensor:
            seen.append((k, v))
            return attend_sdpa(q, k, v)

        block.self_attn.attend = record
        for share, place in zip(tokens, positions, strict=True):
            block(share, inputs.time.modulation_B6D, place, context, audio)
        keys, values = (torch.cat(parts, dim=1) for parts in zip(*seen, strict=True))
        block.self_attn.attend = lambda q, _k, _v, k=keys, v=values: attend_sdpa(q, k, v)
        tokens = [
            block(share, inputs.time.modulation_B6D, place, context, audio)
            for share, place in zip(tokens, positions, strict=True)
        ]
    patches = torch.cat([dit.head(share, inputs.time.time_BD) for share in tokens], dim=1)
    return dit._unpatchify(patches, grid).float()


def test_rotation_depends_on_distance_only() -> None:
    """The product of a rotated query and key changes with their distance, not with their place."""
    grid = Grid(4, 8, 8)
    positions = rotary_positions(TokenLayout.whole(grid), 24, CPU)
    q, k = torch.randn(2, 1, 1, 1, 24).expand(2, 1, grid.tokens, 1, 24)
    products = (rotate(q, positions)[0, :, 0] @ rotate(k, positions)[0, :, 0].T).view(4, 4, 4, 4, 4, 4)
    torch.testing.assert_close(products[0, 0, 0, 1, 1, 2], products[2, 1, 1, 3, 2, 3], rtol=1e-4, atol=1e-4)
    assert (products[0, 0, 0, 0, 0, 1] - products[0, 0, 0, 0, 1, 0]).abs() > 1e-4


def test_positions_of_a_share_are_rows_of_the_whole() -> None:
    grid = Grid(3, 6, 10)
    whole = rotary_positions(TokenLayout.whole(grid), 24, CPU)
    share = rotary_positions(TokenLayout(grid, 11, 20), 24, CPU)
    assert torch.equal(share.cos, whole.cos[11:31])
    assert share.layout.frame_span == (0, 3)
    assert share.layout.lead == 11


def test_time_stays_float32_in_half_precision(tiny_config: Config) -> None:
    kept = [name for name in DiT(tiny_config.model.dit).state_dict() if DiT.keeps_float32(name)]
    assert "time_projection.1.weight" in kept
    assert "blocks.1.modulation" in kept
    assert not any("attn" in name for name in kept)
