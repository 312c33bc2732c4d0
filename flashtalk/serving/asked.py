"""What strangers may ask of an engine: sizes it can do in reasonable time, seeds, prompts that end.

One size too large holds up the engine of everybody. Called by client.py, variants.py, jobs/room.py and the app's page.
"""

from __future__ import annotations

from collections.abc import Mapping

from flashtalk.config import Config, StreamConfig
from flashtalk.engine.engine import changed_stream
from flashtalk.errors import ConfigError, InputError

LARGEST_SEED = 2**31 - 1
MOST_PROMPT_LETTERS = 2000

SIZES = (
    *((256, 256), (320, 192), (192, 320), (320, 320), (384, 384), (512, 512)),
    *((416, 720), (448, 768), (720, 416), (768, 448)),
)
"""(width, height); an engine offers those of them that `offered_sizes` names."""
_MOST_TIMES_OWN_SIZE = 4


def asked_stream(config: Config, seed: int | None, changes: Mapping[str, object]) -> StreamConfig:
    """`engine.changed_stream`, of which strangers may choose the seed and one of `offered_sizes`.

    Raises InputError, ConfigError.
    """
    own = config.stream
    size = changes.get("width", own.width), changes.get("height", own.height)
    if size != (own.width, own.height) and size not in (offered := offered_sizes(config)):
        known = ", ".join(size_words(*one) for one in offered)
        advice = f"choose one of {known}" if len(offered) > 1 else f"this engine was built for {known} alone"
        raise ConfigError(f"The size {size_words(*size)} is not offered here; {advice}.")
    stream = changed_stream(config, seed, changes)
    if not 0 <= stream.seed <= LARGEST_SEED:
        raise ConfigError(f"The seed must be a whole number from 0 to {LARGEST_SEED}.")
    return stream


def offered_sizes(config: Config) -> list[tuple[int, int]]:
    """(width, height): the config's own first, then what else its model can do in reasonable time.

    A compiled engine offers its own alone: for another it would compile while everybody waits.
    """
    own = config.stream
    if config.runtime.compile:
        return [(own.width, own.height)]
    most = own.width * own.height * _MOST_TIMES_OWN_SIZE
    others = (size for size in SIZES if size[0] * size[1] <= most and _can_do(config, *size))
    return list(dict.fromkeys(((own.width, own.height), *others)))


def size_words(width: object, height: object) -> str:
    """For people, and as forms send it."""
    return f"{width!s:.9}×{height!s:.9}"


def demand_short_prompt(prompt: str) -> None:
    """Raises InputError(prompt)."""
    if len(prompt) > MOST_PROMPT_LETTERS:
        message = f"The prompt has {len(prompt)} letters; {MOST_PROMPT_LETTERS} are allowed. Shorten it."
        raise InputError(message, code="prompt")


def _can_do(config: Config, width: int, height: int) -> bool:
    try:
        changed_stream(config, None, {"width": width, "height": height})
    except ConfigError:
        return False
    return True
