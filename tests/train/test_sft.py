"""Stage 1: motion stays clean and costs nothing, the reference comes from elsewhere, dropout has its shares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from flashtalk.config import Config
from flashtalk.models.dit import DiT
from flashtalk.models.light_codec import LightCodec
from tests.train.pools import random_pool
from train.config import DrawnData, OtherSize, SftTraining, ShardData
from train.draws import Draws
from train.encoders import learning_encoders, token_ids
from train.fsdp import ShardConfig
from train.losses import pin
from train.optim import OptimConfig, Optimiser
from train.pool import ClipPool, pick
from train.ranks import Ranks
from train.sft import SftStep, handed_latents
from train.sizes import drawn_turns, in_size, size_of_turn
from train.stages import get_module

CPU = torch.device("cpu")
MOTION = 2


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    with Ranks.join(0, 1, device="cpu") as alone:
        yield alone


def step_of(config: Config, ranks: Ranks, **changes: object) -> SftStep:
    plain = ShardConfig(placement="replicate", compute="float32", checkpointing=False)
    settings = SftTraining(model=config.model, stream=config.stream, shard=plain, train_encoders=True)
    settings, pool = replace(settings, **changes), random_pool(config)
    dit = get_module(config.model, "dit", CPU)
    assert isinstance(dit, DiT)
    return SftStep(dit, learning_encoders(settings, ranks, pool), pool, settings, MOTION)


def generators(seed: int = 0) -> tuple[torch.Generator, torch.Generator]:
    return torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)


def test_a_small_pool_is_learnt(tiny_config: Config, ranks: Ranks) -> None:
    step = step_of(tiny_config, ranks)
    optimiser = Optimiser(step.dit, OptimConfig(learning_rate=3e-3, betas=(0.9, 0.99), clip_norm=1.0), 60)
    losses = []
    for iteration in range(60):
        loss, _ = step.loss(4, *generators(iteration % 4))
        optimiser.backward(loss)
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])


def test_gradients_reach_every_network_that_learns(tiny_config: Config, ranks: Ranks) -> None:
    step = step_of(tiny_config, ranks)
    torch.nn.init.normal_(step.dit.head.head.weight, std=0.05)
    step.loss(4, *generators())[0].backward()
    missing = [name for name, p in step.dit.named_parameters() if p.grad is None]
    assert missing == []
    assert all(any(p.grad is not None for p in net.parameters()) for net in step.rows.networks().values())


def test_reference_is_outside_the_window_except_at_a_streams_start(tiny_config: Config) -> None:
    picks = pick(
        random_pool(tiny_config, chunks=5), generators()[0], 4000, motion_latents=MOTION, first_chunk_share=0.2
    )
    own, next_start = picks.reference_B == picks.chunk_B, picks.reference_B == picks.chunk_B + 1
    assert not next_start.any()
    assert 0.07 < own.float().mean() < 0.13
    assert (picks.motion_B[own] == 1).all()
    assert 0.17 < (picks.motion_B == 1).float().mean() < 0.23
    assert set(picks.motion_B.tolist()) == {1, MOTION}


def test_motion_latents_reach_the_network_clean_and_without_loss(
    tiny_config: Config, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def watch(latents: torch.Tensor, motion: torch.Tensor, motion_B: torch.Tensor) -> torch.Tensor:
        seen["clean"], seen["motion_B"], seen["noised"] = motion, motion_B, latents
        seen["pinned"] = pin(latents, motion, motion_B)
        return seen["pinned"]

    monkeypatch.setattr("train.sft.pin", watch)
    step = step_of(tiny_config, ranks, noisy_motion_share=0.5)
    step.loss(32, *generators())
    for row, count in enumerate(seen["motion_B"].tolist()):
        assert torch.equal(seen["pinned"][row, :, :count], seen["clean"][row, :, :count])
        assert torch.equal(seen["pinned"][row, :, count:], seen["noised"][row, :, count:])
    assert set(seen["motion_B"].tolist()) == {0, 1, MOTION}


def test_motion_is_the_chunks_own_or_what_a_stream_hands_over(
    tiny_config: Config, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    for share in (0.0, 1.0):
        seen = []
        step = step_of(tiny_config, ranks, handed_over_share=share)
        own = step.pool.latents_NKCTHW[:, :, :, :MOTION]
        step = replace(step, handed_NKCTHW=own + 1)
        monkeypatch.setattr("train.sft.pin", lambda latents, motion, _count, seen=seen: seen.append(motion) or latents)
        step.loss(8, *generators())
        known = (own + share).flatten(0, 1)
        assert all(any(torch.equal(row, one) for one in known) for row in seen[0])


@pytest.mark.parametrize("chunks", [1, 3])
def test_what_is_handed_over_is_what_a_stream_would_hand_over(
    tiny_config: Config, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, frames = get_module(tiny_config.model, "codec", CPU), tiny_config.stream.motion_frames
    assert isinstance(codec, LightCodec)
    monkeypatch.setattr("train.sft._CLIPS_AT_ONCE", 2)
    pool = random_pool(tiny_config, clips=3, chunks=chunks)
    handed = handed_latents(pool, codec, frames)
    assert handed.shape == (3, chunks, *pool.latents_NKCTHW.shape[2:3], MOTION, *pool.latents_NKCTHW.shape[4:])
    assert torch.equal(handed[:, 0], pool.latents_NKCTHW[:, 0, :, :MOTION])
    for k in range(1, chunks):
        shown = codec.decode(pool.latents_NKCTHW[:, k - 1])
        torch.testing.assert_close(handed[:, k], codec.encode(shown[:, :, -frames:]))


def test_sizes_take_turns_by_their_shares_with_batches_of_as_many_pixels(tiny_config: Config) -> None:
    sizes = (OtherSize(width=128, height=128, share=0.25, nearest=0.6), OtherSize(width=64, height=32, share=0.5))
    data = DrawnData(width=64, height=64, clips=8)
    config = SftTraining(model=tiny_config.model, stream=tiny_config.stream, data=data, other_sizes=sizes, batch=16)
    turns = [size_of_turn(drawn_turns(config), Draws(0), iteration) for iteration in range(400)]
    assert dict(turns) == {0: 16, 1: 4, 2: 32}
    counts = [sum(place == number for place, _ in turns) / len(turns) for number in range(3)]
    assert counts == pytest.approx([0.25, 0.25, 0.5], abs=0.06)
    drawn = in_size(config, 0)
    assert (drawn.data.width, drawn.data.clips, drawn.data.nearest, drawn.other_sizes) == (128, 2, 0.6, ())
    assert drawn.run.seed != config.run.seed, "other characters"


def test_other_sizes_are_refused_where_they_cannot_be(tiny_config: Config) -> None:
    size = OtherSize(width=64, height=64, share=0.7)
    config = SftTraining(model=tiny_config.model, stream=tiny_config.stream, other_sizes=(size, size))
    assert any("exceed 1" in problem for problem in config.problems())
    shards = replace(config, data=ShardData(folder="x"), other_sizes=(size,))
    assert any("drawn" in problem for problem in shards.problems())


def test_jitter_disturbs_motion_latents_and_nothing_else(
    tiny_config: Config, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def watch(latents: torch.Tensor, motion: torch.Tensor, motion_B: torch.Tensor) -> torch.Tensor:
        seen.append(motion)
        return pin(latents, motion, motion_B)

    monkeypatch.setattr("train.sft.pin", watch)
    for jitter in (0.0, 0.2):
        step_of(tiny_config, ranks, motion_jitter=jitter).loss(16, *generators())
    spread = (seen[1] - seen[0]).flatten(1).std(1)
    assert (spread > 0).all()
    assert spread.max() < 0.21
    assert spread.max() > 2 * spread.min()


def test_dropout_gives_the_three_passes_of_the_teacher_and_no_other(
    tiny_config: Config, ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    predict = SftStep.loss.__globals__["predict"]
    monkeypatch.setattr("train.sft.predict", lambda *args: given.append(args[-1]) or predict(*args))
    step = step_of(tiny_config, ranks, drop_text_and_audio=0.3, drop_text=0.3)
    step.loss(400, *generators())
    silent = (given[0].windows_BFKD == 0).flatten(1).all(1)
    wordless = (given[0].text_BLD == step.rows.negative_rows()).flatten(1).all(1)
    assert not (silent & ~wordless).any()
    assert 0.22 < silent.float().mean() < 0.38
    assert 0.5 < wordless.float().mean() < 0.7


def test_pool_survives_the_disk(tiny_config: Config, tmp_path) -> None:
    pool = random_pool(tiny_config)
    pool.save(tmp_path / "pool.safetensors")
    again = ClipPool.load(tmp_path / "pool.safetensors", CPU)
    assert all(torch.equal(getattr(pool, name), getattr(again, name)) for name in vars(pool))


def test_prompts_are_cut_and_padded() -> None:
    ids, mask = token_ids(lambda text: [ord(c) for c in text] + [1], ["ab", "abcdef"], 4)
    assert ids.tolist() == [[97, 98, 1, 0], [97, 98, 99, 100]]
    assert mask.tolist() == [[True, True, True, False], [True] * 4]
