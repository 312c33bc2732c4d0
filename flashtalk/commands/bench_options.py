"""Options of `flashtalk bench` that depend on each other: with one config, with --ladder, with --from. For cli.py."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from flashtalk.errors import ConfigError

LADDER_FILE = "ladder.json"
"""Where --ladder writes in the present folder if --json does not say."""

FORBIDDEN = {
    "--from": ("--ladder", "--config", "--gpus", "--set", "--chunks", "--minutes", "--load", "--ahead", "--rungs"),
    "--ladder": ("--config", "--minutes"),
    "": ("--rungs",),
}
"""What says nothing beside --from, beside --ladder and alone."""


def read_counts(text: str | None) -> tuple[int, ...]:
    """`1,2,4` -> (1, 2, 4); nothing for nothing. Raises ConfigError."""
    if text is None:
        return ()
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3})*", text):
        raise ConfigError(
            f"--gpus {text}: write a number, for example --gpus 4, or with --ladder several: --gpus 1,2,4"
        )
    return tuple(map(int, text.split(",")))


def refuse_useless(given: Mapping[str, object]) -> None:
    """`given`: options by name as they were given, None or False if they were not. Raises ConfigError."""
    told = [name for name, value in given.items() if value not in (None, False, [])]
    mode = next((name for name in FORBIDDEN if name in told), "")
    useless = [name for name in told if name in FORBIDDEN[mode]]
    if useless:
        beside = f"says nothing beside {mode}" if mode else "needs --ladder"
        raise ConfigError(f"{useless[0]} {beside}; leave it out")
    endless = [name for name, value in given.items() if isinstance(value, float) and not math.isfinite(value)]
    if endless:
        raise ConfigError(f"{endless[0]} {given[endless[0]]}: write a number that ends")
    if given["--chunks"] and given["--minutes"] is not None:
        raise ConfigError("--chunks says nothing beside --minutes; leave one of them out")
    if not mode and "," in str(given["--gpus"]):
        raise ConfigError(f"--gpus {given['--gpus']}: several numbers need --ladder")
