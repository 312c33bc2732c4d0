"""`connect(config)`: the one way to an engine, for the command line, the app, tests and users' programs."""

from __future__ import annotations

from flashtalk.config import Config
from flashtalk.engine.engine import Engine


def connect(config: Config) -> Engine:
    """Build the engine that `config` describes, in this process. Use it as a context."""
    return Engine(config)
