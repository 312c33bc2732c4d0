"""What the training commands share: options, ranks from torchrun's environment, overrides, errors as sentences."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
import yaml

from flashtalk.errors import ConfigError, FlashTalkError
from train.config import load_train_config
from train.plan import MemoryPlan
from train.ranks import Ranks

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

Settings = Annotated[list[str] | None, typer.Option("--set", help="section.name=value, any number of times")]
Gpus = Annotated[int | None, typer.Option("--plan", min=1, help="only tell the memory of each of so many GPUs")]


def run_training(
    kind: type[T],
    config: str,
    settings: list[str] | None,
    train: Callable[[T, Ranks], Path],
    plan: Callable[[T], MemoryPlan] | None = None,
) -> None:
    """Read a config of this kind and train what it describes, or only tell its memory plan. Raises FlashTalkError."""
    loaded = load_train_config(kind, config, overrides_of(settings))
    if plan is not None:
        typer.echo(plan(loaded).table())
        return
    with open_ranks() as ranks:
        typer.echo(f"checkpoint: {train(loaded, ranks)}")


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
