"""Training of the small audio encoder (wav2vec2's architecture) on speech whose phonemes and mouth shapes are known.

    python -m train.voice voice-small          torchrun --nproc-per-node 8 -m train.voice voice-small

It hears what a stream hears (the last seconds before a chunk's end, no future) and is frozen afterwards, as published
audio encoders are.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from flashtalk.checkpoint import write_tensors
from flashtalk.config import StreamConfig
from flashtalk.models.audio_encoder import AudioEncoder
from train.config import VoiceTraining
from train.data import Speech, draw_speech
from train.draws import Draws
from train.launch import Settings, command, run_training
from train.optim import Optimiser
from train.pace import Pace
from train.phones import HEADS, load_heads
from train.progress import Progress
from train.ranks import Ranks
from train.sound import Listener
from train.stages import export, get_module
from train.synthetic.augment import Augment, AugmentConfig
from train.synthetic.phonemes import SYMBOLS
from train.synthetic.pose import POSE

MOUTH_COLUMNS = POSE[: POSE.index("smile")]
CLASSES = 1 + len(SYMBOLS)
"""Silence and the phonemes."""
MOUTH_WEIGHT = 4.0


class Reader(nn.Module):
    """The audio encoder and, for training only, what its last layer is asked: phoneme and mouth of every frame."""

    def __init__(self, encoder: AudioEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.phonemes, self.mouth = nn.Linear(width, CLASSES), nn.Linear(width, len(MOUTH_COLUMNS))

    def forward(self, samples_BS: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sound -> encoder's layers [B, frames, L, D], logits [B, frames, CLASSES], mouth columns [B, frames, 8]."""
        hidden_BFLD = self.encoder(samples_BS, frames)
        last_BFD = hidden_BFLD[:, :, -1].float()
        return hidden_BFLD, self.phonemes(last_BFD), self.mouth(last_BFD)


def save_heads(reader: Reader, file: Path) -> None:
    """Write the two heads; raises CheckpointError."""
    write_tensors(file, {name: tensor.float().cpu() for name, tensor in _heads(reader).state_dict().items()})


def take_heads(reader: Reader, weights: str | None) -> None:
    """The heads that an earlier run left beside its checkpoint, if it did. Raises InputError for a damaged file."""
    file = Path(weights).parent / HEADS if weights else None
    if file and file.is_file():
        _heads(reader).load_state_dict(load_heads(file))


def _heads(reader: Reader) -> nn.ModuleDict:
    return nn.ModuleDict({"phonemes": reader.phonemes, "mouth": reader.mouth})


@dataclass(frozen=True)
class VoiceStep:
    """A batch of contexts and the loss on their frames inside the clip."""

    reader: Reader
    speech: Speech
    listener: Listener
    stream: StreamConfig
    former: AudioEncoder | None = None
    """What the encoder was before: its layers are kept where no recorded voice speaks."""
    keep_weight: float = 0.0

    def loss(self, batch: int, numbers: torch.Generator, noise: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy of phonemes plus squared error of the mouth, where the context lies inside the clip."""
        device, length = noise.device, self.speech.poses_NFP.shape[1]
        clip_B = torch.randint(len(self.speech.poses_NFP), (batch,), generator=numbers)
        end_B = torch.randint(self.stream.chunk_frames, length + 1, (batch,), generator=numbers)
        frames = round(self.stream.audio_context_s * self.stream.fps)
        heard = self.listener.hear(clip_B, end_B, noise)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            hidden, logits, mouth = self.reader(heard, frames)
        frame_BF = end_B[:, None] + torch.arange(-frames, 0)
        inside = (frame_BF >= 0).to(device)
        where = (clip_B[:, None].to(device), frame_BF.clamp(min=0).to(device))
        phoneme_BF, truth = self.speech.phonemes_NF[where], self.speech.poses_NFP[where][..., : len(MOUTH_COLUMNS)]
        phoneme_loss = F.cross_entropy(logits.float()[inside], phoneme_BF[inside])
        mouth_loss = (mouth.float() - truth)[inside].square().mean()
        right = (logits.argmax(-1) == phoneme_BF)[inside].float().mean()
        # Explained variance of the jaw: what the lips hang on.
        jaw, true_jaw = mouth[..., 0].float()[inside], truth[..., 0][inside]
        explained = 1 - (jaw - true_jaw).square().mean() / true_jaw.var().clamp(min=1e-6)
        stats = {"phoneme": phoneme_loss, "mouth": mouth_loss, "right": right, "jaw_r2": explained}
        loss = phoneme_loss + MOUTH_WEIGHT * mouth_loss
        if self.former is not None:
            stats["moved"] = moved(self.former, heard, hidden, ~self.speech.recorded_N[clip_B.to(device)])
            loss = loss + self.keep_weight * stats["moved"]
        return loss, {name: value.detach() for name, value in stats.items()}


def moved(former: AudioEncoder, heard_BS: Tensor, hidden_BFLD: Tensor, kept_B: Tensor) -> Tensor:
    """How far the layers of the rows in `kept` are from the former encoder's, squared, in units of their variance."""
    if not bool(kept_B.any()):
        return hidden_BFLD.new_zeros(())
    with torch.no_grad():
        wanted = former(heard_BS[kept_B], hidden_BFLD.shape[1]).float()
    variance_L1 = wanted.var((0, 1), keepdim=True).mean(-1, keepdim=True)
    return ((hidden_BFLD[kept_B].float() - wanted).square() / variance_L1).mean()


def train_voice(config: VoiceTraining, ranks: Ranks) -> Path:
    """Train, validate on unseen voices, export; gives the checkpoint's folder."""
    pace = Pace(config.run, ranks)
    encoder = get_module(config.model, "audio_encoder", ranks.device, weights=config.weights, seed=config.run.seed)
    assert isinstance(encoder, AudioEncoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.run.seed)
        reader = Reader(encoder.requires_grad_(not config.head_only)).to(ranks.device)
    take_heads(reader, config.weights)
    former = copy.deepcopy(encoder).requires_grad_(False) if config.keep_weight else None
    step = _step(config, ranks, reader, "train", former)
    optimiser, draws = Optimiser(reader, config.optim, config.run.iterations, replicas=ranks), Draws(config.run.seed)
    out = config.run.out
    with Progress(Path(out), config.run.iterations, ranks, config.run.log_every) as progress:
        for iteration in pace.iterations():
            numbers = draws.generator(iteration, 0, "voice", ranks.rank)
            noise = draws.generator(iteration, 0, "voice noise", ranks.rank, ranks.device)
            loss, stats = step.loss(config.batch, numbers, noise)
            optimiser.backward(loss)
            update = optimiser.step()
            pace.look(iteration + 1, [optimiser])
            progress.total = pace.total
            progress.step(iteration, stats | {"lr": update.learning_rate})
        progress.summary(validate(_step(config, ranks, reader, "validation"), config, ranks))
    folder = Path(out) / "checkpoint"
    export(folder, {"audio_encoder": encoder}, config.model, ranks, weights=None, source="train.voice")
    if ranks.is_first:
        save_heads(reader, Path(out) / HEADS)
    return folder


@torch.no_grad()
def validate(step: VoiceStep, config: VoiceTraining, ranks: Ranks, batches: int = 8) -> dict[str, float]:
    """The stats of `loss` on unseen voices, texts and characters, mean of ranks; all ranks must call it."""
    draws, totals = Draws(config.run.seed), dict[str, float]()
    for index in range(batches):
        numbers = draws.generator(index, 0, "voice validation", ranks.rank)
        noise = draws.generator(index, 0, "voice validation noise", ranks.rank, ranks.device)
        for name, value in step.loss(config.batch, numbers, noise)[1].items():
            totals[f"validation_{name}"] = totals.get(f"validation_{name}", 0.0) + ranks.all_mean(value) / batches
    return totals


def _step(
    config: VoiceTraining, ranks: Ranks, reader: Reader, split: str, former: AudioEncoder | None = None
) -> VoiceStep:
    speech = draw_speech(config.data, config.stream, ranks, config.run.seed, split)
    listener = Listener(speech.samples_NS, config.stream, Augment(AugmentConfig()))
    return VoiceStep(reader, speech, listener, config.stream, former, config.keep_weight)


@command
def main(config: str, settings: Settings = None) -> None:
    """Train the audio encoder that CONFIG describes."""
    run_training(VoiceTraining, config, settings, train_voice)


if __name__ == "__main__":
    typer.run(main)
