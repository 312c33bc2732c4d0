"""What a config gives up for speed, in words: exact, FP8 or approximate. Used by `flashtalk plan`.

The ladder is the files configs/serve/h200x*.yaml: the rungs of one model by number of GPUs, from exact to fastest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flashtalk.config import Config
from flashtalk.config_file import config_names, load_config

RUNGS = "h200x"
"""How the names of the ladder's files begin."""

FULL = "h200x1"
"""The rung whose pictures have the paper's size."""

Kind = Literal["exact", "FP8", "approximate"]


@dataclass(frozen=True)
class Grade:
    """exact: the model's function up to rounding; FP8: with 8-bit products; approximate: another function or size."""

    kind: Kind
    given_up: tuple[str, ...]

    def __str__(self) -> str:
        return ": ".join((self.kind, "; ".join(self.given_up))) if self.given_up else self.kind


def grade(config: Config, full: Config | None = None) -> Grade:
    """What `config` gives up against the model as it was trained, and in picture size against `full`."""
    rounded, changed = list(_rounded(config)), list(_changed(config, full))
    return Grade("approximate" if changed else "FP8" if rounded else "exact", (*rounded, *changed))


def rungs() -> dict[str, tuple[Config, Grade]]:
    """The ladder by name."""
    configs = {name: load_config(name) for name in config_names("serve") if name.startswith(RUNGS)}
    return {name: (config, grade(config, configs[FULL])) for name, config in configs.items()}


def _rounded(config: Config) -> Iterator[str]:
    if config.runtime.linears == "fp8":
        yield "8-bit products in the transformer's blocks"


def _changed(config: Config, full: Config | None) -> Iterator[str]:
    stream, steps = config.stream, max(config.model.distilled_steps)
    if config.runtime.rounds_attention:
        yield "self-attention in 8 bits"
    if stream.steps < steps:
        yield f"{stream.steps} of {steps} steps"
    if config.runtime.decoder == "preview":
        yield "a light decoder, whose frames the next chunk goes on from"
    if full and stream.width * stream.height < full.stream.width * full.stream.height:
        share = 1 - stream.width * stream.height / (full.stream.width * full.stream.height)
        yield f"{share:.0%} of the pixels of {full.stream.width}x{full.stream.height}"
