"""Every error that a caller may meet, as one tree.

FlashTalkError
├── ConfigError        a setting is unknown, out of range or contradicts another
├── InputError         the visitor's picture, sound or text cannot be used
├── CheckpointError    weights are missing, damaged or of another model
└── EngineError        the engine cannot go on
    ├── SessionClosed  the session was ended (flushed or closed) before
    ├── WorkerLost     the process that computed is gone
    └── Overloaded     no seat is free

A message says what was given, what is allowed and what to do. `code` is a stable word for programs; `exit_status` is
what the command line returns.
"""

from __future__ import annotations


class FlashTalkError(Exception):
    """Base of all errors raised on purpose."""

    code: str = "error"
    exit_status: int = 1

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class ConfigError(FlashTalkError):
    """A setting is unknown, out of range or contradicts another."""

    code = "config"
    exit_status = 2


class InputError(FlashTalkError):
    """The picture, sound or text given cannot be used."""

    code = "input"
    exit_status = 3


class CheckpointError(FlashTalkError):
    """Weights are missing, damaged or belong to another model."""

    code = "checkpoint"
    exit_status = 4


class EngineError(FlashTalkError):
    """The engine cannot go on with this session or at all."""

    code = "engine"
    exit_status = 5


class SessionClosed(EngineError):
    """The session was flushed or closed; open a new one."""

    code = "session_closed"


class WorkerLost(EngineError):
    """The process that computed is gone."""

    code = "worker_lost"


class Overloaded(EngineError):
    """No seat is free now. `place` in line is where one would stand, about `wait_s` seconds from a seat."""

    code = "overloaded"

    def __init__(self, message: str, *, place: int = 1, wait_s: float = 0.0, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.place = place
        self.wait_s = wait_s
