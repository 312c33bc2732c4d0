"""Supervised fine-tuning (the paper's stage 1), and the pre-training of a small teacher: flow matching on real chunks.

    python -m train.sft small          torchrun --nproc-per-node 8 -m train.sft small

One chunk of a clip is noised, its motion latents stay clean, the network learns the velocity of the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import typer
from torch import Tensor, nn

from flashtalk.models.dit import DiT
from flashtalk.models.light_codec import LightCodec
from flashtalk.models.vae import WanVAE
from flashtalk.pipeline.chunk import hand_over
from flashtalk.types import LatentCodec
from train.config import SftTraining, micro_batch_sizes
from train.draws import Draws
from train.ema import Ema
from train.encoders import Rows, frozen_rows, learning_encoders
from train.fsdp import computing, shard
from train.launch import Gpus, Settings, command, run_training
from train.loop import Stats, run_loop
from train.losses import draw_sigma, free_frames, mix, moving_weight, pin, velocity, velocity_loss
from train.optim import Optimiser
from train.pace import Pace
from train.plan import SFT, MemoryPlan, memory_plan
from train.pool import ClipPool, Picks, pick
from train.progress import Progress
from train.ranks import Ranks
from train.sizes import get_clips, get_held_out, size_of_turn
from train.stages import export, get_dit, get_module, warm_start
from train.states import RunState
from train.velocity import Conditions, predict

_CLIPS_AT_ONCE = 8
"""Handed over together: one by one they take a minute of a GPU for three thousand clips."""


@dataclass(frozen=True)
class SftStep:
    """What a step needs beside its batch. `config` gives shares and shifts; `motion_latents` of later chunks."""

    dit: DiT
    rows: Rows
    pool: ClipPool
    config: SftTraining
    motion_latents: int
    handed_NKCTHW: Tensor | None = None
    """Motion latents of the pool's chunks as streams hand them over; None where `handed_over_share` is 0."""

    def loss(self, batch: int, numbers: torch.Generator, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch. `numbers` (CPU) draws samples and levels, `noise` is on the device."""
        config, device = self.config, noise.device
        picks = pick(
            self.pool,
            numbers,
            batch,
            motion_latents=self.motion_latents,
            first_chunk_share=config.first_chunk_share,
        )
        sigma_B = draw_sigma(numbers, batch, shift=config.score_shift)
        shares = torch.rand((3, batch), generator=numbers)
        noised_B, dropped_B = (shares[0] < config.noisy_motion_share).to(device), shares[1].to(device)
        given = self._conditions(picks, dropped_B)
        clean = self.pool.latents_NKCTHW[picks.clip_B, picks.chunk_B].float()
        eps = torch.randn(clean.shape, generator=noise, device=device)
        # Noisy motion latents are no motion at all: nothing is pinned, and all positions count.
        motion_B = torch.where(noised_B, 0, picks.motion_B.to(device))
        motion = self._motion(picks, clean, (shares[2] < config.handed_over_share).to(device))
        noisy = pin(mix(clean, eps, sigma_B.to(device)), self._jittered(motion, noise), motion_B)
        weight_BT = free_frames(clean.shape[2], motion_B)
        with computing(config.shard, device):
            predicted = predict(self.dit, noisy, sigma_B, given)
        target = velocity(clean, eps)
        loss = velocity_loss(predicted, target, weight_BT, moving_weight(clean, config.moving_weight))
        return loss, {"loss": loss.detach()}

    def _motion(self, picks: Picks, clean: Tensor, handed_B: Tensor) -> Tensor:
        """Motion latents of the chunks: their own, or where `handed_B` says so as a stream would hand them over."""
        if self.handed_NKCTHW is None:
            return clean[:, :, : self.motion_latents]
        handed = self.handed_NKCTHW[picks.clip_B, picks.chunk_B].float()
        return torch.where(handed_B[:, None, None, None, None], handed, clean[:, :, : handed.shape[2]])

    def _jittered(self, clean: Tensor, noise: torch.Generator) -> Tensor:
        """Latents disturbed as much as a sample's draw says, from nothing to `motion_jitter`."""
        if not self.config.motion_jitter:
            return clean
        size_B = torch.rand((len(clean), 1, 1, 1, 1), generator=noise, device=clean.device) * self.config.motion_jitter
        return clean + size_B * torch.randn(clean.shape, generator=noise, device=clean.device)

    def _conditions(self, picks: Picks, dropped_B: Tensor) -> Conditions:
        config, pool = self.config, self.pool
        text_BLD, picture_BLD = self.rows.of(picks.clip_B, picks.reference_B)
        given = Conditions(
            pool.reference(picks.clip_B, picks.reference_B, self.dit.config.temporal_stride),
            text_BLD,
            picture_BLD,
            pool.windows(picks.clip_B, picks.chunk_B, picks.voice_B, self.dit.config.audio_window),
        )
        both_B = dropped_B < config.drop_text_and_audio
        text_B = dropped_B < config.drop_text_and_audio + config.drop_text
        return given.drop(self.rows.negative_rows(), text_B, both_B)


def train_sft(config: SftTraining, ranks: Ranks) -> Path:
    """Train, export the running mean of the weights; gives the checkpoint's folder."""
    run, model = config.run, config.model
    pace = Pace(run, ranks)
    clips = get_clips(config, ranks)
    pools = (*clips.pools, get_held_out(config, ranks))
    dit = get_dit(model, ranks, config.shard, weights=config.weights, seed=run.seed)
    networks = nn.ModuleDict({"dit": dit})
    rows = _rows(config, ranks, networks, pools)
    taken = warm_start(dict(networks.items()), config.warm_start) if config.warm_start else {}
    replicas = ranks if config.shard.placement == "replicate" else None
    optimiser = Optimiser(networks, config.optim, run.iterations, replicas=replicas)
    ema = Ema(networks, config.ema_decay)
    motion_latents = 1 + (config.stream.motion_frames - 1) // model.dit.temporal_stride
    handed = _handing_over(config, ranks)
    *lessons, exam = (
        SftStep(dit, some, pool, config, motion_latents, handed(pool)) for some, pool in zip(rows, pools, strict=True)
    )
    draws = Draws(run.seed)

    def step(iteration: int) -> Stats:
        stats: dict[str, Tensor] = {}
        for micro in range(config.accumulate):
            numbers = draws.generator(iteration, micro, "sft", ranks.rank)
            noise = draws.generator(iteration, micro, "sft noise", ranks.rank, ranks.device)
            place, batch = size_of_turn(clips.turns, draws, iteration)
            loss, stats = lessons[place].loss(batch, numbers, noise)
            optimiser.backward(loss, config.accumulate)
        update = optimiser.step()
        ema.update()
        return stats | {"lr": update.learning_rate, "gradient_norm": update.gradient_norm}

    def validate(_iteration: int) -> Stats:
        with ema.swapped(), torch.no_grad():
            return {"validation_loss": ranks.all_mean(_exam_loss(exam, config.batch, ranks))}

    state = RunState({"student": networks}, {"student": optimiser}, {"student": ema})
    with Progress(Path(run.out), run.iterations, ranks, run.log_every) as progress:
        run_loop(run, ranks, state, step, progress, pace, validate)
        if taken:
            progress.summary({"warm_start": taken})
    folder = Path(run.out) / "checkpoint"
    with ema.swapped():
        export(folder, dict(networks.items()), model, ranks, weights=config.weights, source="train.sft")
    return folder


def _rows(config: SftTraining, ranks: Ranks, networks: nn.ModuleDict, pools: Sequence[ClipPool]) -> Sequence[Rows]:
    """Rows of each pool. Encoders that learn join `networks`."""
    if not config.train_encoders:
        return frozen_rows(config, ranks, pools)
    encoders, small = learning_encoders(config, ranks, pools[0]), replace(config.shard, compute="float32")
    networks.update({name: shard(network, ranks, small) for name, network in encoders.networks().items()})
    return [replace(encoders, pool=pool) for pool in pools]


def _handing_over(config: SftTraining, ranks: Ranks) -> Callable[[ClipPool], Tensor | None]:
    """`handed_latents` of any pool, or nothing where no sample takes them: decoding all chunks costs its time."""
    if not config.handed_over_share:
        return lambda _pool: None
    codec = get_module(config.model, "codec", ranks.device, weights=config.weights, required=True)
    assert isinstance(codec, LightCodec | WanVAE)
    return lambda pool: handed_latents(pool, codec.requires_grad_(False), config.stream.motion_frames)


@torch.no_grad()
def handed_latents(pool: ClipPool, codec: LatentCodec, motion_frames: int) -> Tensor:
    """[N, K, C, T, H, W] as the pool: motion latents of each chunk, by the served hand-over of the chunk before it.

    A clip's first chunk has none before it, and keeps its own.
    """
    first = pool.latents_NKCTHW[:, :1, :, : 1 + (motion_frames - 1) // codec.temporal_stride]
    if pool.chunks == 1:
        return first
    handed = []
    for start in range(0, len(pool), _CLIPS_AT_ONCE):
        some_NKCTHW = pool.latents_NKCTHW[start : start + _CLIPS_AT_ONCE, :-1]
        colours = [pool.colour(start + n, k) for n in range(len(some_NKCTHW)) for k in range(pool.chunks - 1)]
        latents_BCTHW = some_NKCTHW.flatten(0, 1).float()
        _, motion = hand_over(codec, latents_BCTHW, colours, motion_frames=motion_frames, colour_strength=0.0)
        handed.append(motion.to(first.dtype).unflatten(0, some_NKCTHW.shape[:2]))
    return torch.cat((first, torch.cat(handed)), dim=1)


def _exam_loss(exam: SftStep, batch: int, ranks: Ranks) -> Tensor:
    """The loss on held-out clips with the same draws at every validation."""
    numbers = Draws(0).generator(0, 0, "sft exam", ranks.rank)
    noise = Draws(0).generator(0, 0, "sft exam noise", ranks.rank, ranks.device)
    return exam.loss(batch, numbers, noise)[0]


@command
def main(config: str, settings: Settings = None, gpus: Gpus = None) -> None:
    """Train what CONFIG describes: the name of a file in configs/train, or a path."""
    run_training(SftTraining, config, settings, train_sft, functools.partial(_plan, gpus) if gpus else None)


def _plan(gpus: int, config: SftTraining) -> MemoryPlan:
    return memory_plan(config.model, SFT, gpus, micro_batch_sizes(config), codec=False)


if __name__ == "__main__":
    typer.run(main)
