"""Each fast part of the transformer is the plain part: exact algebra in float64, for the whole and for shares."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest
import torch
from torch import Tensor

from flashtalk.config import Config, RuntimeConfig
from flashtalk.config_file import replace
from flashtalk.engine.build import build_networks
from flashtalk.engine.fast import FusedSelfAttention, make_dit_fast
from flashtalk.engine.folded_audio import FoldedAudioAttention, FoldedSound, pieces
from flashtalk.engine.plan import plan
from flashtalk.models.blocks import AudioAttention, SelfAttention
from flashtalk.models.dit import DiT
from flashtalk.models.rope import rotary_positions
from flashtalk.types import Grid, TokenLayout
from tests.models.test_dit import make_inputs, run_in_shares

FRAMES = 3
GRID = Grid(FRAMES, 6, 10)
LAYOUTS = [TokenLayout.whole(GRID), TokenLayout(GRID, 0, 15), TokenLayout(GRID, 15, 15), TokenLayout(GRID, 4, 9)]
LAYOUTS += [TokenLayout(GRID, 4, 30), TokenLayout(GRID, 11, 34), TokenLayout(GRID, 14, 2), TokenLayout(GRID, 44, 1)]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def assert_same(fast: Tensor, plain: Tensor, bound: float = 1e-12) -> None:
    assert fast.shape == plain.shape
    assert (fast - plain).norm() <= bound * plain.norm()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.start}+{layout.count}")
def test_folded_sound_is_attention_to_sound(tiny_config: Config, layout: TokenLayout) -> None:
    config = tiny_config.model.dit
    plain = AudioAttention(config).double()
    folded = FoldedAudioAttention(plain)
    sound, x = noise(2, FRAMES, config.audio_tokens, config.audio_token_dim), noise(2, layout.count, config.dim)
    wanted = plain(x, plain.prepare(sound), layout)
    assert_same(folded(x, folded.prepare(sound), layout), wanted)
    own = folded.prepare(sound, layout)
    assert own.key.shape[1] == layout.frame_span[1] - layout.frame_span[0]
    assert_same(folded(x, own, layout), wanted)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.start}+{layout.count}")
def test_pieces_cover_a_share_and_never_mix_a_part_with_whole_frames(layout: TokenLayout) -> None:
    found = list(pieces(layout))
    assert [piece.start for piece in found] == [0, *(piece.end for piece in found[:-1])]
    assert found[-1].end == layout.count
    for piece in found:
        frames = piece.end_frame - piece.first_frame
        assert frames == 1 or piece.end - piece.start == frames * GRID.tokens_per_frame
        touched = {(layout.start + i) // GRID.tokens_per_frame for i in range(piece.start, piece.end)}
        assert touched == set(range(piece.first_frame, piece.end_frame))


def test_one_product_is_three(tiny_config: Config) -> None:
    plain = SelfAttention(tiny_config.model.dit).double()
    fused = FusedSelfAttention(plain)
    layout = TokenLayout.whole(GRID)
    x = noise(2, layout.count, tiny_config.model.dit.dim)
    positions = rotary_positions(layout, tiny_config.model.dit.head_dim, torch.device("cpu"))
    assert_same(fused(x, positions), plain(x, positions))
    assert sum(p.numel() for p in fused.parameters()) == sum(p.numel() for p in plain.parameters())


@pytest.fixture
def pair(tiny_config: Config) -> tuple[DiT, DiT]:
    """The same weights, plain and with every exact twin."""
    dits = []
    for _ in range(2):
        torch.manual_seed(3)
        dits.append(DiT(tiny_config.model.dit).double().eval().requires_grad_(False))
    make_dit_fast(dits[1], RuntimeConfig(fused_qkv=True, folded_audio=True))
    return dits[0], dits[1]


def test_the_fast_transformer_is_the_plain_one(pair: tuple[DiT, DiT]) -> None:
    plain, fast = (dit(*make_inputs(dit)).double() for dit in pair)
    assert_same(fast, plain, 1e-7)  # the velocity is float32, and so are the norms' statistics


@pytest.mark.parametrize("shares", [2, 4, 7])
def test_shares_of_the_fast_transformer_join_to_the_whole(pair: tuple[DiT, DiT], shares: int) -> None:
    inputs = make_inputs(pair[1])
    assert torch.allclose(run_in_shares(pair[1], inputs, shares), pair[0](*make_inputs(pair[0])), atol=1e-6)


@pytest.mark.parametrize("linears", ["plain", "fp8"])
@pytest.mark.parametrize("text_len", [16, 200])
def test_a_fast_block_compiles_whole(tiny_config: Config, linears: Literal["plain", "fp8"], text_len: int) -> None:
    """Nothing in it leaves the graph (`fullgraph` raises otherwise), and a share's layout is a constant of it."""
    torch.manual_seed(3)
    dit = DiT(dataclasses.replace(tiny_config.model.dit, text_len=text_len)).eval().requires_grad_(False)
    make_dit_fast(dit, RuntimeConfig(linears=linears, fused_qkv=True, folded_audio=True))
    block, layout, config = next(iter(dit.blocks)), TokenLayout(GRID, 11, 30), dit.config
    compiled = torch.compile(block, fullgraph=True, dynamic=False, backend="aot_eager")
    windows = torch.randn(1, 9, config.audio_window, config.audio_layers * config.audio_dim)
    inputs = (
        torch.randn(1, layout.count, config.dim),
        torch.randn(1, 6, config.dim),
        rotary_positions(layout, config.head_dim, torch.device("cpu")),
        dit.embed_context(torch.randn(1, 5, config.text_dim), torch.randn(1, 7, config.image_dim))[0],
        dit.embed_audio(windows, layout)[0],
    )
    with torch.inference_mode():
        torch.testing.assert_close(compiled(*inputs), block(*inputs), rtol=1e-5, atol=1e-5)


def test_switches_are_off_unless_asked_for(tiny_config: Config) -> None:
    plain = build_networks(tiny_config).dit
    assert not any(isinstance(module, (FusedSelfAttention, FoldedAudioAttention)) for module in plain.modules())
    fast = build_networks(replace(tiny_config, {"runtime.fused_qkv": True, "runtime.folded_audio": True})).dit
    assert isinstance(fast.blocks[1].self_attn, FusedSelfAttention)  # type: ignore[index]
    assert isinstance(fast.blocks[1].audio_cross_attn, FoldedAudioAttention)  # type: ignore[index]


def test_a_plan_knows_what_folding_saves_and_takes(tiny_config: Config) -> None:
    on_gpu = {"runtime.device": "cuda", "runtime.dtype": "bfloat16"}
    plain, folded = (plan(replace(tiny_config, on_gpu | {"runtime.folded_audio": on}), "h200") for on in (False, True))
    dit, tokens = tiny_config.model.dit, plain.size.tokens
    columns = dit.num_heads * dit.audio_tokens
    spared = dit.num_layers * 2 * 2 * tokens * dit.dim * (dit.dim - columns)
    assert plain.step.linear - folded.step.linear == spared
    assert plain.step.attention - folded.step.attention == dit.num_layers * 4 * tokens * dit.dim * dit.audio_tokens
    assert folded.memory.sound == 2 * dit.num_layers * 9 * columns * (2 * dit.dim + 1)


@pytest.mark.gpu
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.start}+{layout.count}")
def test_folded_sound_on_a_gpu(tiny_config: Config, layout: TokenLayout) -> None:
    """bfloat16 rounds the folded rows, the scores and the weights, 2^-9 each, where the plain path rounds q and p."""
    torch.manual_seed(0)
    config = tiny_config.model.dit
    plain = AudioAttention(config)
    sound = torch.randn(1, FRAMES, config.audio_tokens, config.audio_token_dim)
    x = torch.randn(1, layout.count, config.dim)
    wanted = plain(x, plain.prepare(sound), layout)
    folded = FoldedAudioAttention(plain).to("cuda", torch.bfloat16)
    sound, x = (value.to("cuda", torch.bfloat16) for value in (sound, x))
    out = folded(x, folded.prepare(sound, layout), layout).float().cpu()
    assert (out - wanted).norm() / wanted.norm() < 2e-2
    assert isinstance(folded.prepare(sound), FoldedSound)
