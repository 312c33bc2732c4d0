"""Stage 2: rollouts are what is served, gradients are where the paper has them, and nothing else moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from flashtalk.config import Config
from flashtalk.models.dit import DiT
from flashtalk.pipeline.chunk import render_chunk
from flashtalk.pipeline.denoise import build_sampler
from flashtalk.types import Conditioning, Portrait
from tests.train.pools import random_pool
from train.config import DmdTraining, DrawnData, OtherSize
from train.dmd import Lesson, Shape, Stage, Turns, _start
from train.dmd_losses import Scores
from train.draws import Draws
from train.ema import Ema
from train.encoders import frozen_rows
from train.fsdp import ShardConfig
from train.optim import OptimConfig, Optimiser
from train.ranks import Ranks
from train.rollout import Roller
from train.sizes import drawn_turns, size_of_turn
from train.stages import get_module

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    with Ranks.join(0, 1, device="cpu") as alone:
        yield alone


def training(config: Config, **changes: object) -> DmdTraining:
    plain = ShardConfig(placement="replicate", compute="float32", checkpointing=False)
    training = DmdTraining(model=config.model, stream=config.stream, shard=plain, batch=2, most_chunks=3, steps=(4, 2))
    return replace(training, **changes)


def network(config: Config, seed: int = 0) -> DiT:
    dit = get_module(config.model, "dit", CPU, seed=seed)
    assert isinstance(dit, DiT)
    # A head of zeros, as training starts with, would hide where gradients go.
    torch.nn.init.normal_(dit.head.head.weight, std=0.05, generator=torch.Generator().manual_seed(seed))
    return dit


def stage_of(config: Config, ranks: Ranks, **changes: object) -> Stage:
    settings, pool = training(config, **changes), random_pool(config)
    codec = get_module(config.model, "codec", CPU).requires_grad_(False)
    lessons = tuple(map(Lesson, [pool], frozen_rows(settings, ranks, [pool])))
    return Stage(settings, Draws(0), ranks, lessons, drawn_turns(settings), codec)


def scores_of(stage: Stage, config: Config, fake_seed: int = 0) -> Scores:
    teacher, fake = network(config).requires_grad_(False), network(config, fake_seed)
    return Scores(teacher, fake, stage.config, stage.sizes[0].rows.negative_rows())


def counted(dit: DiT) -> list[bool]:
    """Filled with one entry for each forward: whether gradients were on."""
    calls: list[bool] = []
    dit.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    return calls


@pytest.mark.parametrize(("chunks", "exit_step", "steps"), [(1, 0, 4), (2, 3, 4), (3, 1, 4), (3, 1, 2)])
def test_rollout_has_the_papers_number_of_forwards_and_one_with_gradient(
    tiny_config: Config, ranks: Ranks, monkeypatch: pytest.MonkeyPatch, chunks: int, exit_step: int, steps: int
) -> None:
    stage, dit = stage_of(tiny_config, ranks), network(tiny_config)
    calls = counted(dit)
    monkeypatch.setattr(Stage, "shape", lambda *_: Shape(chunks, exit_step, steps, 1.0))
    rolled, _ = stage.roll(dit, 0, 0, "student")
    assert len(calls) == steps * (chunks - 1) + exit_step + 1
    rolled.sample_BCTHW.square().sum().backward()
    assert calls.count(True) == 1
    assert calls[-1]
    assert all(p.grad is None for p in stage.codec.parameters())


def test_motion_positions_get_no_gradient(tiny_config: Config, ranks: Ranks) -> None:
    stage, dit = stage_of(tiny_config, ranks), network(tiny_config)
    rolled, _ = stage.roll(dit, 0, 0, "student")
    frames = rolled.motion_BCTHW.shape[2]
    assert torch.equal(rolled.sample_BCTHW[:, :, :frames], rolled.motion_BCTHW)
    assert not rolled.motion_BCTHW.requires_grad
    assert not torch.equal(rolled.estimate_BCTHW[:, :, :frames], rolled.motion_BCTHW)


@torch.no_grad()
def test_rollouts_are_of_the_size_whose_turn_it_is(tiny_config: Config, ranks: Ranks) -> None:
    stream, codec = tiny_config.stream, tiny_config.model.codec
    wide = replace(stream, width=2 * stream.width, height=stream.height // 2)
    size = OtherSize(width=wide.width, height=wide.height, share=0.5)
    stage = stage_of(tiny_config, ranks, data=DrawnData(width=stream.width, height=stream.height), other_sizes=(size,))
    pool = random_pool(replace(tiny_config, stream=wide))
    stage = replace(stage, sizes=(*stage.sizes, Lesson(pool, *frozen_rows(stage.config, ranks, [pool]))))
    seen = set()
    for iteration in range(8):
        place, _ = size_of_turn(stage.turns, stage.draws, iteration)
        given = (stream, wide)[place]
        cells = (given.height // codec.spatial_stride, given.width // codec.spatial_stride)
        rolled, truth = stage.roll(network(tiny_config), iteration, 0, "fake")
        assert rolled.sample_BCTHW.shape[-2:] == truth.shape[-2:] == cells
        seen.add(place)
    assert seen == {0, 1}


@torch.no_grad()
def test_rollout_is_what_is_served(tiny_config: Config, ranks: Ranks) -> None:
    """Chunk by chunk through `render_chunk`, with the same noise: the same motion latents."""
    stage, dit, stream = stage_of(tiny_config, ranks), network(tiny_config), tiny_config.stream
    clip, voice = torch.tensor([1]), torch.tensor([0])
    start = _start(stage.sizes[0], clip, voice, 3, dit)
    drawn: list[Tensor] = []

    def draw(shape: tuple[int, ...]) -> Tensor:
        drawn.append(torch.randn(shape))
        return drawn[-1]

    rolled = Roller(stage.codec, stream, draw).roll(dit, start, 3, steps=4, colour_strength=0.7)
    given = start.chunks[0]
    portrait = Portrait(
        given.reference_BCTHW[0], start.motion_BCTHW[0], given.picture_BLD[0], stage.sizes[0].pool.colour(1, 0)
    )
    context = dit.embed_context(given.text_BLD, given.picture_BLD)
    conditioning = Conditioning(portrait, given.text_BLD[0], context)
    motion, noise = portrait.motion_CTHW, iter(drawn)
    for chunk in start.chunks[:-1]:
        rendered = render_chunk(
            dit,
            stage.codec,
            build_sampler(dit, 4, stream.shift),
            lambda _: next(noise),
            motion,
            conditioning,
            chunk.windows_BFKD,
            motion_frames=stream.motion_frames,
            colour_strength=0.7,
        )
        motion = rendered.motion_CTHW
    torch.testing.assert_close(rolled.motion_BCTHW[0], motion)


def test_without_guidance_teacher_and_untrained_fake_agree_exactly(tiny_config: Config, ranks: Ranks) -> None:
    stage = stage_of(tiny_config, ranks, text_scale=1.0, audio_scale=1.0)
    scores, dit = scores_of(stage, tiny_config), network(tiny_config, 5)
    rolled, truth = stage.roll(dit, 0, 0, "student")
    numbers, draw = stage.numbers(0, 0, "levels"), stage.noise(0, 0, "scores")
    _, stats = scores.student_loss(rolled, truth, numbers, draw)
    assert stats["difference"] < 1e-5


@pytest.mark.parametrize("source", ["predicted", "truth"])
@pytest.mark.parametrize("mode", ["none", "same_t", "fixed"])
def test_turns_move_the_student_every_fifth_iteration_and_never_the_teacher(
    tiny_config: Config, ranks: Ranks, source: str, mode: str
) -> None:
    changes = {"motion_source": source, "motion_noise": mode, "motion_loss_weight": 0.1, "background_weight": 0.1}
    stage, student = stage_of(tiny_config, ranks, **changes), network(tiny_config, 5)
    scores = scores_of(stage, tiny_config, fake_seed=7)
    fast = OptimConfig(learning_rate=1e-3)
    turns = Turns(
        stage, scores, student, Optimiser(student, fast, 2), Optimiser(scores.fake, fast, 6), Ema(student, 0.9)
    )
    before = {name: tensor.clone() for name, tensor in scores.teacher.state_dict().items()}
    moved = []
    for iteration in range(6):
        student_before, fake_before = (dit.head.head.weight.detach().clone() for dit in (student, scores.fake))
        turns.step(iteration)
        moved.append(not torch.equal(student_before, student.head.head.weight))
        assert not torch.equal(fake_before, scores.fake.head.head.weight)
    assert moved == [True, False, False, False, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in scores.teacher.state_dict().items())


def test_ranks_agree_on_shapes_and_draw_other_samples(tiny_config: Config, ranks: Ranks) -> None:
    one = stage_of(tiny_config, ranks)
    other = replace(one, ranks=replace(ranks, rank=1))
    for turn in range(20):
        assert one.shape(turn, "student") == other.shape(turn, "student")
    assert not torch.equal(one.noise(0, 0, "x")((4,)), other.noise(0, 0, "x")((4,)))
    shapes = [one.shape(turn, "student") for turn in range(2 * 3 * 4)]
    drawn = {(shape.chunks, shape.steps) for shape in shapes}
    four = [(shape.chunks, shape.exit_step) for shape in shapes if shape.steps == 4]
    assert sorted(four) == [(k, j) for k in (1, 2, 3) for j in range(4)]
    assert drawn == {(k, steps) for k in (1, 2, 3) for steps in (4, 2)}
