"""What the training commands share: their ranks from torchrun's environment, overrides, errors as sentences."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer
import yaml

from flashtalk.errors import ConfigError, FlashTalkError
from train.ranks import Ranks

P = ParamSpec("P")
R = TypeVar("R")


def open_ranks() -> Ranks:
    """The group that torchrun describes, or one process alone."""
    return Ranks.from_environment(os.environ)


def overrides_of(settings: list[str] | None) -> dict[str, object]:
    """`section.name=value` texts -> dotted names and values, read as YAML. Raises ConfigError."""
    overrides = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"'{setting}' sets nothing; write section.name=value")
        overrides[name.strip()] = yaml.safe_load(value)
    return overrides


def command(main: Callable[P, R]) -> Callable[P, R]:
    """A command whose typed errors are told in a sentence and end it with exit code 1."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return main(*args, **kwargs)
        except FlashTalkError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from None

    return run
