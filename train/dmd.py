"""Self-correcting distillation (the paper's stage 2): a few-step student from a teacher with guidance.

    python -m train.dmd dmd-small          torchrun --nproc-per-node 8 -m train.dmd dmd-14b

The fake score learns in every iteration, the student in every fifth, both on chunks that the student rolled out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from torch import Tensor

from flashtalk.models.dit import DiT
from flashtalk.models.light_codec import LightCodec
from flashtalk.models.vae import WanVAE
from flashtalk.types import LatentCodec
from train.config import DmdTraining, micro_batch_sizes
from train.dmd_losses import Scores
from train.draws import Draws
from train.ema import Ema
from train.encoders import Rows, frozen_rows
from train.fsdp import computing
from train.launch import Gpus, Settings, command, run_training
from train.loop import Stats, run_loop
from train.optim import Optimiser
from train.pace import Pace
from train.plan import DMD, MemoryPlan, memory_plan
from train.pool import ClipPool
from train.progress import Progress
from train.ranks import Ranks
from train.rollout import Roller, Rollout, Start
from train.sizes import Turn, get_clips, size_of_turn
from train.stages import export, get_dit, get_module
from train.states import RunState
from train.velocity import Conditions

STUDENT, FAKE = "student", "fake"
REFERENCE = 0
"""The chunk whose first frame is a rollout's portrait."""


@dataclass(frozen=True)
class Shape:
    """What ranks agree on for one rollout: chunks, the exit step of the last, step count, colour match."""

    chunks: int
    exit_step: int
    steps: int
    colour_strength: float


@dataclass(frozen=True)
class Lesson:
    """Those of one picture size, and their rows."""

    pool: ClipPool
    rows: Rows


@dataclass(frozen=True)
class Stage:
    """Rollouts of batches of clips, by size: the main one first."""

    config: DmdTraining
    draws: Draws
    ranks: Ranks
    sizes: tuple[Lesson, ...]
    turns: tuple[Turn, ...]
    codec: LatentCodec

    def shape(self, turn: int, role: str) -> Shape:
        """Of the `turn`-th rollout of a role, the same on all ranks. Steps take turns; (k, j) go through all pairs.

        As uniform as independent draws, with a fraction of their variance (docs/results/experiments).
        """
        config = self.config
        rounds, place = divmod(turn, len(config.steps))
        steps = config.steps[place]
        chunks, exit_step = self.draws.pair(rounds, config.most_chunks, steps, f"{role} {steps}")
        chance = torch.rand((), generator=self.draws.generator(turn, 0, f"{role} colour", 0))
        return Shape(
            config.most_chunks if config.chunk_mode == "fixed" else chunks,
            steps - 1 if config.exit_mode == "last" else exit_step,
            steps,
            config.stream.colour_strength if chance < config.colour_share else 0.0,
        )

    def roll(self, dit: DiT, iteration: int, micro: int, role: str) -> tuple[Rollout, Tensor]:
        """A rollout of this rank's batch and the latents of the real chunk. Gradients as the caller has them."""
        updates = iteration // self.config.critic_updates if role == STUDENT else iteration
        shape = self.shape(updates * self.config.accumulate + micro, role)
        noise = self.noise(iteration, micro, f"{role} rollout")
        numbers = self.numbers(iteration, micro, f"{role} clips")
        place, batch = size_of_turn(self.turns, self.draws, iteration)
        clips = self.sizes[place]
        clip_B = torch.randint(len(clips.pool), (batch,), generator=numbers)
        voice_B = torch.randint(clips.pool.rows_NKVFLD.shape[2], (batch,), generator=numbers)
        start = _start(clips, clip_B, voice_B, shape.chunks, dit)
        roller = Roller(self.codec, self.config.stream, noise)
        rolled = roller.roll(dit, start, shape.exit_step, steps=shape.steps, colour_strength=shape.colour_strength)
        return rolled, clips.pool.latents_NKCTHW[clip_B, shape.chunks - 1].float()

    def numbers(self, iteration: int, micro: int, role: str) -> torch.Generator:
        """This rank's draws on the CPU."""
        return self.draws.generator(iteration, micro, role, self.ranks.rank)

    def noise(self, iteration: int, micro: int, role: str) -> Callable[[tuple[int, ...]], Tensor]:
        """This rank's standard-normal noise of a shape."""
        device = self.ranks.device
        generator = self.draws.generator(iteration, micro, role, self.ranks.rank, device)
        return lambda shape: torch.randn(shape, generator=generator, device=device)


def _start(clips: Lesson, clip_B: Tensor, voice_B: Tensor, chunks: int, dit: DiT) -> Start:
    pool, stride = clips.pool, dit.config.temporal_stride
    first_B = torch.full_like(clip_B, REFERENCE)
    text_BLD, picture_BLD = clips.rows.of(clip_B, first_B)
    reference = pool.reference(clip_B, first_B, stride)
    neighbours = dit.config.audio_window
    windows = (pool.windows(clip_B, torch.full_like(clip_B, c), voice_B, neighbours) for c in range(chunks))
    conditions = tuple(Conditions(reference, text_BLD, picture_BLD, heard) for heard in windows)
    colours = tuple(pool.colour(int(clip), REFERENCE) for clip in clip_B)
    return Start(conditions, reference[:, stride:, :1], colours)


@dataclass(frozen=True)
class Turns:
    """The two kinds of updates."""

    stage: Stage
    scores: Scores
    student: DiT
    student_optimiser: Optimiser
    fake_optimiser: Optimiser
    ema: Ema

    def step(self, iteration: int) -> Stats:
        """The fake score's update, after the student's where it is its turn (paper: 1:5)."""
        stats: dict[str, Tensor | float] = {}
        if iteration % self.stage.config.critic_updates == 0:
            stats |= self._student_turn(iteration)
        return stats | self._fake_turn(iteration)

    def _student_turn(self, iteration: int) -> dict[str, Tensor | float]:
        stage, parts = self.stage, self.stage.config.accumulate
        stats: dict[str, Tensor] = {}
        for micro in range(parts):
            draw = stage.noise(iteration, micro, "student scores")
            numbers = stage.numbers(iteration, micro, "student levels")
            with computing(stage.config.shard, stage.ranks.device):
                rolled, truth = stage.roll(self.student, iteration, micro, STUDENT)
                loss, stats = self.scores.student_loss(rolled, truth, numbers, draw)
            self.student_optimiser.backward(loss, parts)
        update = self.student_optimiser.step()
        self.ema.update()
        return stats | {"student_gradient_norm": update.gradient_norm, "student_lr": update.learning_rate}

    def _fake_turn(self, iteration: int) -> dict[str, Tensor | float]:
        stage, parts = self.stage, self.stage.config.accumulate
        stats: dict[str, Tensor] = {}
        for micro in range(parts):
            draw = stage.noise(iteration, micro, "fake scores")
            numbers = stage.numbers(iteration, micro, "fake levels")
            with computing(stage.config.shard, stage.ranks.device):
                with torch.no_grad():
                    rolled, truth = stage.roll(self.student, iteration, micro, FAKE)
                loss, stats = self.scores.fake_loss(rolled, truth, numbers, draw)
            self.fake_optimiser.backward(loss, parts)
        update = self.fake_optimiser.step()
        return stats | {"fake_gradient_norm": update.gradient_norm}


def train_dmd(config: DmdTraining, ranks: Ranks) -> Path:
    """Distil, export the student's running mean; gives the checkpoint's folder."""
    run, model = config.run, config.model
    pace = Pace(run, ranks)
    clips = get_clips(config, ranks)
    sizes = tuple(map(Lesson, clips.pools, frozen_rows(config, ranks, clips.pools)))
    codec = get_module(model, "codec", ranks.device, weights=config.weights, required=True).requires_grad_(False)
    assert isinstance(codec, LightCodec | WanVAE)
    student, fake, teacher = (
        get_dit(model, ranks, config.shard, weights=config.weights, required=True, trainable=trainable)
        for trainable in (True, True, False)
    )
    replicas = ranks if config.shard.placement == "replicate" else None
    turns = Turns(
        Stage(config, Draws(run.seed), ranks, sizes, clips.turns, codec),
        Scores(teacher, fake, config, sizes[0].rows.negative_rows()),
        student,
        Optimiser(student, config.student_optim, -(-run.iterations // config.critic_updates), replicas=replicas),
        Optimiser(fake, config.fake_optim, run.iterations, replicas=replicas),
        Ema(student, config.ema_decay),
    )
    optimisers = {"student": turns.student_optimiser, "fake": turns.fake_optimiser}
    state = RunState({"student": student, "fake": fake}, optimisers, {"student": turns.ema})
    with Progress(Path(run.out), run.iterations, ranks, run.log_every) as progress:
        run_loop(run, ranks, state, turns.step, progress, pace)
    folder = Path(run.out) / "checkpoint"
    with turns.ema.swapped():
        export(folder, {"dit": student}, model, ranks, weights=config.weights, source="train.dmd")
    return folder


@command
def main(config: str, settings: Settings = None, gpus: Gpus = None) -> None:
    """Distil what CONFIG describes: the name of a file in configs/train, or a path."""
    run_training(DmdTraining, config, settings, train_dmd, functools.partial(_plan, gpus) if gpus else None)


def _plan(gpus: int, config: DmdTraining) -> MemoryPlan:
    return memory_plan(config.model, DMD, gpus, micro_batch_sizes(config), codec=True)


if __name__ == "__main__":
    typer.run(main)
