"""Puts the networks of several stages into one checkpoint: `python -m train.join OUT CODEC VOICE`."""

from __future__ import annotations

from pathlib import Path

import typer

from train.launch import command
from train.stages import join


@command
def main(out: Path, stages: list[Path]) -> None:
    """Join the checkpoints of STAGES into the folder OUT."""
    join(out, stages)
    typer.echo(f"checkpoint: {out}")


if __name__ == "__main__":
    typer.run(main)
