"""The settings of an evaluation: what is compared, on how much film, where. Read by `python -m train.evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from flashtalk.config import Config, ModelConfig, StreamConfig
from flashtalk.config_file import from_tree, to_tree
from flashtalk.errors import ConfigError
from train.config import SpeechConfig
from train.evaluate.guidance import Guidance
from train.evaluate.scores import WINDOW_S

LEAST_WINDOWS = 3


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One line of the tables: weights, and how latents are sampled from them."""

    name: str
    checkpoint: str | None = None
    """Folder of weights as served, in `runs` if it is relative; null: the evaluation's."""
    decoder: str | None = None
    """Another checkpoint, whose codec is used instead: one of `decoder_only` training has the same latents."""
    sampler: Literal["student", "teacher"] = "student"
    """The few-step student as served, or a teacher's many Euler steps with guidance."""
    steps: int = 4
    guidance_text: float = Guidance.text
    """Of a teacher; 1 is none."""
    guidance_audio: float = Guidance.audio
    null_prompt: str = ""
    """Prompt of a teacher's branches without text."""
    colour_strength: float | None = None
    """Colour match to the portrait, 0..1; null: the stream's."""
    long: bool = True
    """Whether it makes long films; a teacher needs hours for them."""

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        if not self.name:
            yield "a variant needs a name"
        if self.steps < 1:
            yield f"steps {self.steps} must be 1 or more"


@dataclass(frozen=True, kw_only=True)
class FilmPlan:
    """How much is filmed of each variant. `split`: validation while something is still chosen, test at the end."""

    characters: int = 8
    """Unseen ones, each with its own unseen voice."""
    seconds: float = 20.0
    quiet_characters: int = 4
    """Of them, those that are also filmed in silence, noise and music."""
    quiet_seconds: float = 8.0
    speed_seconds: float = 12.0
    """Length of the film that tells the speed, made while nothing else runs; 0 leaves it out."""
    split: Literal["validation", "test"] = "test"
    seed: int = 0
    """Of characters, pauses and noise."""
    nearest: float = 1.0
    """How near cameras come, as in training (DrawnData.nearest); tall pictures are then also framed as cut squares."""

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        if self.characters < 1 or self.seconds < 1 or self.quiet_seconds < 1:
            yield f"{self.characters} characters, films of {self.seconds:g} s and {self.quiet_seconds:g} s: 1 or more"
        if self.quiet_characters > self.characters:
            yield f"quiet_characters {self.quiet_characters} must be at most characters {self.characters}"


@dataclass(frozen=True, kw_only=True)
class LongPlan:
    """Films of many minutes: how long, and of how many characters (the first ones); 0 s leaves them out."""

    seconds: float = 1000.0
    characters: int = 2

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        least = LEAST_WINDOWS * WINDOW_S
        if self.seconds and (self.seconds < least or self.characters < 1):
            yield f"a drift needs {least} s or more and at least one character; or 0 s, to leave it out"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """All of it. Everything but `out`, `device`, `workers`, `cache` and `resume` may change a number."""

    checkpoint: str = "assets/checkpoints/small"
    """Of the variants that name none."""
    runs: str = "out/train"
    """Where the variants' checkpoints are."""
    judge: str = "out/train/judge"
    """Folder written by `python -m train.judge`."""
    out: str = "out/report"
    device: str = "cuda"
    """cpu, cuda or cuda:N, or several with commas."""
    workers: int = 1
    """Processes on each device, a film each: few-step sampling keeps a GPU waiting. On a CPU, one a core at most."""
    cache: str | None = None
    """Keeps drawn films for other runs; null: a folder for this run alone."""
    resume: bool = True
    """Take films over that lie in `out` and were made with the same weights and settings."""
    variants: tuple[Variant, ...] = (Variant(name="4 steps"),)
    model: ModelConfig | None = None
    """Null: each checkpoint's own model.yaml, or the small model."""
    speech: SpeechConfig = field(default_factory=SpeechConfig)
    """Without a corpus espeak-ng speaks alone; with one its voices do; with one and an espeak_library both."""
    stream: StreamConfig = field(default_factory=StreamConfig)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    samples_per_axis: int = 1
    """Of the drawing, as in training: portraits that are smoother than those learnt from are others."""
    compiled: bool = False
    """Fuse the renderer's kernels: each worker compiles for a minute, then draws faster."""
    films: FilmPlan = field(default_factory=FilmPlan)
    long: LongPlan = field(default_factory=LongPlan)

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        names = [variant.name for variant in self.variants]
        if not names or len({slug(name) for name in names}) < len(names):
            yield f"variants {names} need names that differ by letters or digits; at least one"
        if self.workers < 1:
            yield f"workers {self.workers} must be 1 or more"

    def folder_of(self, variant: Variant) -> Path:
        """Of its checkpoint."""
        return Path(self.checkpoint) if variant.checkpoint is None else Path(self.runs, variant.checkpoint)

    def codec_of(self, variant: Variant) -> Path | None:
        """The checkpoint of its codec, if that is another one."""
        return None if variant.decoder is None else Path(self.runs, variant.decoder)

    def stream_of(self, variant: Variant) -> StreamConfig:
        """The settings of a variant's sessions."""
        colour = self.stream.colour_strength if variant.colour_strength is None else variant.colour_strength
        return replace(self.stream, steps=variant.steps, colour_strength=colour, seed=self.films.seed)


def check_stream(model: ModelConfig, stream: StreamConfig, sampler: str) -> None:
    """The checks of a served config; a teacher may take any number of steps. Raises ConfigError."""
    tree = to_tree(Config(model=model, stream=stream))
    if sampler == "teacher":
        tree["model"]["distilled_steps"] = [stream.steps]
    from_tree(Config, tree)


def slug(name: str) -> str:
    """A name as part of a file's: "4 steps, K = 5" -> "4-steps-k-5"."""
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    if not words:
        raise ConfigError(f"the name {name!r} holds no letter or digit")
    return "-".join(words)
