"""`python -m train.judge --iterations N --device cuda --out folder`: trains the judge and prints JSON lines."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from flashtalk.errors import FlashTalkError
from train.evaluate.networks import pick_device
from train.judge.files import save_judge
from train.judge.network import JudgeConfig
from train.judge.training import JudgePlan, train_judge, validate
from train.synthetic.render import Renderer


def main(
    out: Annotated[Path, typer.Option(help="Folder for judge.safetensors and judge.json.")],
    iterations: Annotated[int, typer.Option(help="Optimiser steps.")] = JudgePlan.iterations,
    batch: Annotated[int, typer.Option(help="Pictures a step.")] = JudgePlan.batch,
    fresh: Annotated[int, typer.Option(help="New pictures a step.")] = JudgePlan.fresh,
    pool: Annotated[int, typer.Option(help="Pictures that are kept on the device.")] = JudgePlan.pool,
    validation: Annotated[int, typer.Option(help="Pictures of unseen characters at the end.")] = JudgePlan.validation,
    picture_px: Annotated[int, typer.Option(help="Side of the pictures.")] = JudgeConfig.picture_px,
    samples_per_axis: Annotated[int, typer.Option(help="Samples a pixel and axis of the renderer.")] = 2,
    compiled: Annotated[
        bool, typer.Option(help="Fuse the renderer's kernels (takes a minute, then draws faster).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of weights and pictures.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cuda",
) -> None:
    """Train a judge on drawn pictures and say how well it reads characters that it never saw."""
    plan = JudgePlan(iterations=iterations, batch=batch, fresh=fresh, pool=pool, validation=validation, seed=seed)
    config, started = JudgeConfig(picture_px=picture_px), time.perf_counter()
    try:
        place = pick_device(device)
        renderer = Renderer(place, compiled=compiled, samples_per_axis=samples_per_axis)
        judge = train_judge(renderer, config, plan, place, _tell)
        scores = validate(judge, renderer, plan)
        out.mkdir(parents=True, exist_ok=True)
        seconds = time.perf_counter() - started
        save_judge(judge, out, {"validation": scores, "plan": asdict(plan), "seconds": seconds})
    except FlashTalkError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_status) from None
    for name, score in scores.items():
        _tell({"output": name, **score})
    parameters = sum(p.numel() for p in judge.parameters())
    _tell({"parameters": parameters, "seconds": seconds, "torch": torch.__version__})


def _tell(row: dict[str, Any]) -> None:
    rounded = {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}
    typer.echo(json.dumps(rounded))


if __name__ == "__main__":
    typer.run(main)
