"""Training of the light codec on drawn frames: the small model's pixels <-> latents.

python -m train.codec codec-small          torchrun --nproc-per-node 8 -m train.codec codec-small
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer
from torch import Tensor, nn

from flashtalk.models.light_codec import LightCodec
from train.codec_losses import CodecWeights, codec_loss, psnr_db
from train.config import CodecTraining
from train.data import draw_frames
from train.draws import Draws
from train.launch import Settings, command, run_training
from train.loop import is_told_to_end, termination
from train.optim import Optimiser
from train.pace import Pace
from train.progress import Progress
from train.ranks import Ranks
from train.stages import export, get_module, with_latent_statistics

LATENT_GAIN = 4.0
FRAMES_MEASURED = 33
"""Of each clip, for validation and latent statistics: a chunk, as it is served."""


@dataclass(frozen=True)
class CodecStep:
    """Encode, disturb, decode, compare. Computes in bf16 where the device is a GPU; masters stay float32."""

    codec: LightCodec
    config: CodecTraining
    device: torch.device

    def loss(self, pixels_BCFHW: Tensor, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Pixels in [-1, 1]."""
        config = self.config
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            latents = self.codec.encode(pixels_BCFHW)
            eps = torch.randn(latents.shape, generator=noise, device=self.device)
            decoded = self.codec.decode_raw(latents + config.latent_noise * eps)
        weights = CodecWeights(config.motion_weight, config.gradient_weight, config.jump_weight, config.latent_weight)
        return codec_loss(pixels_BCFHW, decoded.float(), latents.float(), weights)


def train_codec(config: CodecTraining, ranks: Ranks) -> Path:
    """Train, measure, export; gives the checkpoint's folder."""
    run = config.run
    pace = Pace(run, ranks)
    frames_NFCHW = draw_frames(config.data, config.stream, ranks, run.seed, "train")
    codec = _open(config, ranks)
    optimiser = Optimiser(codec, config.optim, run.iterations, replicas=ranks)
    step, draws = CodecStep(codec, config, ranks.device), Draws(run.seed)
    with Progress(Path(run.out), run.iterations, ranks, run.log_every) as progress, termination() as told:
        for iteration in pace.iterations():
            numbers = draws.generator(iteration, 0, "codec", ranks.rank)
            noise = draws.generator(iteration, 0, "codec noise", ranks.rank, ranks.device)
            pixels = draw_windows(frames_NFCHW, config, numbers)
            loss, parts = step.loss(pixels, noise)
            optimiser.backward(loss)
            optimiser.step()
            pace.look(iteration + 1, [optimiser])
            progress.total = pace.total
            progress.step(iteration, {"psnr_db": psnr_db(parts["mse"]), "loss": loss.detach(), **parts})
            if is_told_to_end(told, iteration + 1, ranks):
                break
    validation = draw_frames(config.data, config.stream, ranks, run.seed, "validation")
    measured = measure_codec(codec, frames_NFCHW, validation, ranks)
    progress.summary(measured)
    model = config.model
    if not config.decoder_only:
        model = with_latent_statistics(model, measured["latent_mean"], measured["latent_std"])
    folder = Path(run.out) / "checkpoint"
    export(folder, {"codec": codec}, model, ranks, weights=config.weights, source="train.codec")
    return folder


def _open(config: CodecTraining, ranks: Ranks) -> LightCodec:
    """New, or as `weights` hold it. Latents are not normalised while the encoder learns: their scale still moves."""
    model = config.model if config.decoder_only else with_latent_statistics(config.model, [], [])
    codec = get_module(
        model, "codec", ranks.device, weights=config.weights, seed=config.run.seed, required=config.decoder_only
    )
    assert isinstance(codec, LightCodec)
    if config.weights is None:
        widen_latents(codec)
    codec.encoder.requires_grad_(not config.decoder_only)
    return codec


@torch.no_grad()
def widen_latents(codec: LightCodec) -> None:
    """Let latents begin at about unit scale: noise on smaller ones would be all that the decoder hears."""
    last = [layer for layer in codec.encoder if isinstance(layer, nn.Conv2d)][-1]
    last.weight.mul_(LATENT_GAIN)


def draw_windows(frames_NFCHW: Tensor, config: CodecTraining, numbers: torch.Generator) -> Tensor:
    """Random stretches of random clips, each cut to a square -> pixels_BCFHW in [-1, 1]."""
    clips, length, _, height, width = frames_NFCHW.shape
    side = (min(config.crop_px, height), min(config.crop_px, width))
    limits = (clips, length - config.frames + 1, height - side[0] + 1, width - side[1] + 1)
    windows = []
    for _ in range(config.batch):
        clip, first, top, left = (int(torch.randint(limit, (), generator=numbers)) for limit in limits)
        window = frames_NFCHW[clip, first : first + config.frames, :, top : top + side[0], left : left + side[1]]
        windows.append(window.transpose(0, 1))
    return torch.stack(windows).float() / 127.5 - 1


@torch.no_grad()
def measure_codec(codec: LightCodec, train_NFCHW: Tensor, validation_NFCHW: Tensor, ranks: Ranks) -> dict[str, Any]:
    """Latent statistics of training frames; of unseen characters, as served (no noise), PSNR and `jumps`.

    All ranks call it.
    """
    latents = torch.cat([codec.encode(clip) for clip in _chunks(train_NFCHW)])
    clips = _chunks(validation_NFCHW)
    decoded = [codec.decode(codec.encode(clip)) for clip in clips]
    mse = torch.stack([(made - clip).square().mean() for made, clip in zip(decoded, clips, strict=True)])
    stride = codec.temporal_stride
    wanted, made = (torch.stack([jumps(film, stride) for film in films]).mean(0) for films in (clips, decoded))
    mean = torch.tensor(ranks.all_means(latents.mean((0, 2, 3, 4))))
    square = torch.tensor(ranks.all_means(latents.square().mean((0, 2, 3, 4))))
    return {
        "latent_mean": mean.tolist(),
        "latent_std": (square - mean.square()).sqrt().tolist(),
        "validation_psnr_db": ranks.all_mean(psnr_db(mse).mean()),
        "validation_jumps": ranks.all_means(made / wanted),
        "validation_clips": len(validation_NFCHW) * ranks.world,
    }


def jumps(pixels_BCFHW: Tensor, stride: int) -> Tensor:
    """Mean change to the next frame by the place in a latent, [stride]: first the step into a latent."""
    change_F = pixels_BCFHW.diff(dim=2).abs().mean((0, 1, 3, 4))
    return change_F.view(-1, stride).mean(0)


def _chunks(frames_NFCHW: Tensor, most: int = 64) -> list[Tensor]:
    return [clip[None].transpose(1, 2).float() / 127.5 - 1 for clip in frames_NFCHW[:most, :FRAMES_MEASURED]]


@command
def main(config: str, settings: Settings = None) -> None:
    """Train the light codec that CONFIG describes."""
    run_training(CodecTraining, config, settings, train_codec)


if __name__ == "__main__":
    typer.run(main)
