"""FlashTalk: a picture and a voice in, a talking person out, in real time and without end.

    with connect(load_config("cpu")) as client, client.open(portrait, prompt="...", seed=0) as stream:
        stream.feed(pcm)
        chunk = stream.next(timeout_s=10)

Importing costs nothing: the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flashtalk.config import Config
    from flashtalk.config_file import load_config
    from flashtalk.errors import (
        CheckpointError,
        ConfigError,
        EngineError,
        FlashTalkError,
        InputError,
        Overloaded,
        SessionClosed,
        WorkerLost,
    )
    from flashtalk.serving.client import connect
    from flashtalk.types import VideoChunk

__all__ = [
    "CheckpointError",
    "Config",
    "ConfigError",
    "EngineError",
    "FlashTalkError",
    "InputError",
    "Overloaded",
    "SessionClosed",
    "VideoChunk",
    "WorkerLost",
    "connect",
    "load_config",
]

__version__ = "0.1.0"

_HOMES = {"Config": "config", "load_config": "config_file", "connect": "serving.client", "VideoChunk": "types"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flashtalk' has no attribute '{name}'")
    return getattr(importlib.import_module(f"flashtalk.{_HOMES.get(name, 'errors')}"), name)
