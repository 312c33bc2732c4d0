"""The settings of training: frozen dataclasses are the schema, configs/train/*.yaml state what differs. Read by every
command of train/; every choice of the paper's tables 2 and 3 is a value here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from flashtalk.config import ModelConfig, StreamConfig
from flashtalk.config_file import load_as
from train.fsdp import ShardConfig
from train.optim import OptimConfig
from train.plan import Sizes

T = TypeVar("T")


def load_train_config(cls: type[T], path: str | Path, overrides: Mapping[str, object] | None = None) -> T:
    """Read a training config: a path, or the name of a file in configs/train. Raises ConfigError with every problem."""
    return load_as(cls, path, "train", overrides)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: how long, how often, where to."""

    out: str = "out/train"
    iterations: int = 1000
    limit_s: float | None = None
    """Seconds from the start of the run to the end of its iterations: as many as there is time for, with learning
    rates whose schedules end then. `iterations` is then no more than a first guess of them."""
    seed: int = 0
    log_every: int = 20
    save_every: int = 0
    """Iterations between sharded checkpoints; 0 saves at the end only."""
    keep: int = 2
    validate_every: int = 0
    resume: bool = True
    """Go on from the newest complete checkpoint in `out`, if there is one."""

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        if self.iterations < 1:
            yield f"iterations is {self.iterations}; there must be 1 or more"
        if self.limit_s is not None and self.limit_s <= 0:
            yield f"limit_s is {self.limit_s}; give more than 0, or null for no limit"


@dataclass(frozen=True, kw_only=True)
class SpeechConfig:
    """Where spoken sound comes from."""

    corpus: str | None = None
    """A folder written by `python -m train.synthetic.corpus`; null: espeak-ng alone."""
    corpus_share: float = 0.35
    """Of the clips, those that take their sound from the corpus."""
    corpus_speed: tuple[float, float] = (1.0, 1.0)
    """Training clips play recorded voices this much faster, drawn evenly: higher or lower voices, smaller or larger
    throats. Few people are recorded, and an encoder learns them by heart."""
    espeak_library: str | None = None
    espeak_data: str | None = None
    """Null: the installed espeak-ng."""


@dataclass(frozen=True, kw_only=True)
class OtherSize:
    """Pictures of another size beside the main one."""

    width: int
    height: int
    share: float
    """Of `data.clips` that are drawn in it, in addition, and of iterations that learn from them."""
    nearest: float = 1.0
    """As in DrawnData."""


@dataclass(frozen=True, kw_only=True)
class DrawnData:
    """Talking characters drawn for this run, on its own device, before the first iteration."""

    kind: Literal["drawn"] = "drawn"
    clips: int = 2000
    """On each rank."""
    chunks: int = 5
    """Of each clip: 5 chunks are 33 + 4 x 28 = 145 frames."""
    width: int = 256
    height: int = 256
    voices: int = 3
    """Differently augmented readings of each clip's sound."""
    samples_per_axis: int = 1
    compiled: bool = False
    nearest: float = 1.0
    """The smallest share of a character's usual view that a camera shows; each clip has another from there to 1. Square
    portraits that are cut to a wide picture show 0.6 of it."""
    workers: int = 2
    """Processes that speak and move; drawing is on the device."""
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    cache: str | None = None
    """Keeps what was drawn as latents and embeddings; a folder serves one config, codec and audio encoder."""


@dataclass(frozen=True, kw_only=True)
class ShardData:
    """Clips in shards: drawn ones (train/synthetic/write) or real footage (train/footage)."""

    kind: Literal["shards"] = "shards"
    folder: str
    clips: int = 2000
    chunks: int = 5
    voices: int = 3
    cache: str | None = None


@dataclass(frozen=True, kw_only=True)
class CodecTraining:
    """train/codec.py: the light codec."""

    model: ModelConfig
    data: DrawnData = field(default_factory=DrawnData)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    weights: str | None = None
    """A checkpoint to go on from; its latent statistics are those of `model` (its model.yaml)."""
    decoder_only: bool = False
    """Keep the encoder, and with it the latents that a transformer was trained on."""
    batch: int = 16
    """Clips of an iteration on each rank."""
    frames: int = 13
    crop_px: int = 128
    """Side of the squares that it learns from; more of them are better than whole pictures."""
    latent_noise: float = 0.02
    """Standard deviation of noise on latents while the decoder learns: it will decode a model's, not the encoder's."""
    motion_weight: float = 4.0
    """Extra weight of pixels that move, by how much they do."""
    gradient_weight: float = 1.0
    jump_weight: float = 1.0
    """Weight of errors in the change from frame to frame: without it motion waits inside a latent, and then jumps."""
    latent_weight: float = 1e-4
    """Pulls latents to unit scale, where the decoder's soft clamp is straight."""

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        if self.decoder_only and self.weights is None:
            yield "decoder_only needs weights: the checkpoint whose encoder is taken"


@dataclass(frozen=True, kw_only=True)
class VoiceTraining:
    """train/voice.py: the small audio encoder, on the phonemes and mouth shapes that are known of drawn speech."""

    model: ModelConfig
    data: DrawnData = field(default_factory=DrawnData)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    weights: str | None = None
    """A checkpoint whose audio encoder goes on learning, with the heads that its run left beside it, if any
    (train/phones); null: a new one."""
    keep_weight: float = 0.0
    """How much its hidden layers shall stay what they were on all but recorded voices, so that a transformer trained
    with them goes on with what it knows; mean squared error in units of each layer's variance."""
    head_only: bool = False
    """The encoder stays: only what reads it learns, for alignments (train/phones)."""
    batch: int = 64


@dataclass(frozen=True, kw_only=True)
class SftTraining:
    """train/sft.py: pre-training of a small teacher, and the paper's stage 1."""

    model: ModelConfig
    data: DrawnData | ShardData = field(default_factory=DrawnData)
    optim: OptimConfig = field(default_factory=OptimConfig)
    shard: ShardConfig = field(default_factory=ShardConfig)
    run: RunConfig = field(default_factory=RunConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    weights: str | None = None
    """A checkpoint in the served layout to start from."""
    warm_start: str | None = None
    """Another one, of other latents or sound features: what learns takes the tensors that fit by name and shape."""
    other_sizes: tuple[OtherSize, ...] = ()
    """Pictures of other sizes to learn beside those of the data, which are drawn then."""
    train_encoders: bool = False
    """Whether the text and image encoders learn too (a small model's do; published ones stay)."""
    batch: int = 64
    """Samples of an iteration on each rank, all accumulation steps together."""
    accumulate: int = 1
    ema_decay: float = 0.999
    first_chunk_share: float = 0.25
    """Samples with one motion latent, as a stream's first chunk has; half of them start from their reference."""
    noisy_motion_share: float = 0.0
    """Samples whose motion latents are noised like the rest, with the loss on them too (table 3 needs 0.2)."""
    handed_over_share: float = 0.0
    """Samples whose motion latents are what the chunk before hands over, decoded and encoded, as in a stream."""
    motion_jitter: float = 0.0
    """Largest standard deviation of a disturbance of motion latents: a stream's are its own output, not the data's."""
    moving_weight: float = 0.0
    """How much more the loss heeds places that move (train/losses.moving_weight): small faces need it."""
    drop_text_and_audio: float = 0.1
    drop_text: float = 0.1
    score_shift: float = 5.0
    negative_prompt: str = ""

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        yield from _batch_problems(self.batch, self.accumulate)
        if self.moving_weight < 0:
            yield "moving_weight must be 0 or more"
        yield from _size_problems(self.other_sizes, self.data)


@dataclass(frozen=True, kw_only=True)
class DmdTraining:
    """train/dmd.py: the paper's stage 2, self-correcting bidirectional distillation."""

    model: ModelConfig
    data: DrawnData | ShardData = field(default_factory=DrawnData)
    student_optim: OptimConfig = field(default_factory=OptimConfig)
    fake_optim: OptimConfig = field(default_factory=OptimConfig)
    shard: ShardConfig = field(default_factory=ShardConfig)
    run: RunConfig = field(default_factory=RunConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    weights: str | None = None
    """The checkpoint of stage 1: teacher, fake score and student start from it."""
    other_sizes: tuple[OtherSize, ...] = ()
    """Pictures of other sizes to roll out beside those of the data, which are drawn then."""
    batch: int = 32
    accumulate: int = 1
    critic_updates: int = 5
    """Iterations for one update of the student; the fake score learns in every iteration."""
    most_chunks: int = 5
    chunk_mode: Literal["uniform", "fixed"] = "uniform"
    """uniform: k ~ U(1, K); fixed: always K (table 2)."""
    steps: tuple[int, ...] = (4,)
    """Step counts to distil for; an iteration takes one of them."""
    exit_mode: Literal["uniform", "last"] = "uniform"
    text_scale: float = 3.0
    audio_scale: float = 4.0
    score_shift: float = 5.0
    score_low: float = 0.02
    score_high: float = 0.98
    motion_source: Literal["predicted", "truth"] = "predicted"
    """Motion latents that the scores see (table 3); the student always goes on from its own."""
    motion_noise: Literal["none", "same_t", "fixed"] = "none"
    """Noise on those (table 3); `same_t` needs an SFT with noisy_motion_share."""
    motion_noise_level: float = 0.1
    """Level of `fixed`."""
    motion_loss_weight: float = 0.0
    """Loss on motion latents (not in the paper): the student's own estimate of them towards what was given."""
    background_weight: float = 0.0
    """Pull of still surroundings towards the reference (not in the paper)."""
    colour_share: float = 0.5
    """Rollouts with the served colour match at hand-over."""
    ema_decay: float = 0.99
    negative_prompt: str = ""

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        yield from _batch_problems(self.batch, self.accumulate)
        yield from _size_problems(self.other_sizes, self.data)
        if self.most_chunks > self.data.chunks:
            yield f"most_chunks {self.most_chunks} needs clips of as many chunks; data.chunks is {self.data.chunks}"
        if not set(self.steps) <= set(self.model.distilled_steps):
            yield f"steps {self.steps} must be among the model's distilled_steps {self.model.distilled_steps}"


def micro_batch_sizes(config: SftTraining | DmdTraining) -> Sizes:
    """What one forward of a rank is, for the memory plan."""
    return Sizes(
        width=config.stream.width,
        height=config.stream.height,
        frames=config.stream.chunk_frames,
        batch=config.batch // config.accumulate,
        checkpointing=config.shard.checkpointing,
    )


def _batch_problems(batch: int, accumulate: int) -> Iterator[str]:
    if batch % accumulate:
        yield f"batch {batch} must be a multiple of accumulate {accumulate}"


def _size_problems(sizes: tuple[OtherSize, ...], data: DrawnData | ShardData) -> Iterator[str]:
    if sizes and data.kind != "drawn":
        yield "other_sizes are drawn: shards have the sizes that they were written with"
    if sum(size.share for size in sizes) > 1:
        yield "the shares of other_sizes must not exceed 1 together"
