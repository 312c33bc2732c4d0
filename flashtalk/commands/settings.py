"""Options of the command line -> a checked Config. Order of say: command line > file > default. Called by cli.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from flashtalk.config import Config, snap
from flashtalk.config_file import CONFIG_ROOT, load_config, replace
from flashtalk.errors import ConfigError

FILE_LOOKAHEAD_FRAMES = 10
"""Sound files let the last frames of a chunk hear what comes after it; live mode cannot hear the future and keeps 0."""


def read_config(name: str, assignments: Sequence[str]) -> Config:
    """The serve config `name` (a path or a name in configs/serve) with `section.name=value` set. Raises ConfigError."""
    return load_config(name, parse_assignments(assignments))


def read_film_config(
    name: str,
    assignments: Sequence[str],
    *,
    seed: int | None = None,
    steps: int | None = None,
    size: str | None = None,
    fit: str | None = None,
) -> tuple[Config, list[str]]:
    """The config of a film made from files, and notes on what was changed on the way. Raises ConfigError."""
    says = parse_assignments(assignments)
    options = {"seed": seed, "steps": steps, "fit": fit}
    says |= {f"stream.{option}": value for option, value in options.items() if value is not None}
    config = load_config(name, says)
    if "stream.lookahead_frames" not in says and not _file_says(name, "stream", "lookahead_frames"):
        config = replace(config, {"stream.lookahead_frames": FILE_LOOKAHEAD_FRAMES})
    return _sized(config, size) if size else (config, [])


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """`["stream.steps=2"]` -> `{"stream.steps": 2}`; values are read as YAML. Raises ConfigError."""
    says: dict[str, object] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", name):
            raise ConfigError(f"--set {assignment}: write section.name=value, for example --set stream.steps=2")
        try:
            says[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {assignment}: the value is not valid YAML; quote it") from None
    return says


def _sized(config: Config, size: str) -> tuple[Config, list[str]]:
    given = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", size)
    if not given:
        raise ConfigError(f"--size {size}: write WIDTHxHEIGHT in pixels, for example --size 512x512")
    multiple_h, multiple_w = config.model.size_multiple
    width, height = snap(int(given[1]), multiple_w), snap(int(given[2]), multiple_h)
    notes = []
    if (width, height) != (int(given[1]), int(given[2])):
        rule = f"{config.model.name} needs multiples of {multiple_w}x{multiple_h}"
        notes = [f"size {size} becomes {width}x{height}: {rule}"]
    return replace(config, {"stream.width": width, "stream.height": height}), notes


def _file_says(name: str, section: str, setting: str) -> bool:
    """Whether the config file itself states a setting; `load_config` has read it without complaint before."""
    file = Path(name) if Path(name).is_file() else CONFIG_ROOT / "serve" / f"{name}.yaml"
    return setting in (yaml.safe_load(file.read_text(encoding="utf-8")).get(section) or {})
