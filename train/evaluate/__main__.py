"""How good checkpoints are, as a report with tables, plots and contact sheets.

python -m train.evaluate --checkpoint folder --judge folder --out folder      python -m train.evaluate evaluate-tables
"""

from __future__ import annotations

import json
import platform
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashtalk.errors import FlashTalkError
from train.config import load_train_config
from train.evaluate.config import EvaluationConfig
from train.evaluate.jobs import Tell, keys_of, make_films, parts_folder, plan_jobs
from train.evaluate.networks import pick_device
from train.evaluate.parts import load_part, plain
from train.evaluate.report import Report
from train.evaluate.results import Results
from train.evaluate.scores import Numbers
from train.evaluate.sounds import open_sounds
from train.evaluate.studio import check_variant
from train.judge.files import load_judge, read_settings
from train.launch import Settings, overrides_of

SHOWN = (
    *("kind", "variant", "subject", "voice", "lip_correlation", "lip_correlation_warped", "mean_opening", "psnr"),
    *("identity_similarity", "identity_similarity_change", "sharpness_change", "seam_ratio", "fps"),
)
LINES = "films.jsonl"


def main(
    config: Annotated[str, typer.Argument(help="The name of a file in configs/train, or a path.")] = "evaluate",
    settings: Settings = None,
    checkpoint: Annotated[str | None, typer.Option(help="Weights of the variants that name none.")] = None,
    judge: Annotated[str | None, typer.Option(help="Folder written by `python -m train.judge`.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder for the report.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or cuda:N, or several with commas.")] = None,
) -> None:
    """Film unseen characters with unseen voices and measure the films against the drawn truth."""
    typed = {"checkpoint": checkpoint, "judge": judge, "out": out, "device": device}
    overrides = {name: value for name, value in typed.items() if value is not None}
    try:
        loaded = load_train_config(EvaluationConfig, config, overrides_of(settings) | overrides)
        evaluate(loaded)
    except FlashTalkError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_status) from None
    typer.echo(f"The report is in {Path(loaded.out) / 'report.md'}")


def evaluate(config: EvaluationConfig) -> Report:
    """Make all films that are not there yet and write the report. Raises FlashTalkError."""
    devices = [pick_device(name.strip()) for name in config.device.split(",")]
    weights = {variant.name: check_variant(config, variant) for variant in config.variants}
    load_judge(config.judge, torch.device("cpu"))
    judged = read_settings(Path(config.judge)).get("validation", {})
    sounds = open_sounds(config.speech, config.films.split, config.films.seed)
    keys = keys_of(config, plan_jobs(config, humans=bool(sounds.humans)), weights)
    with ExitStack() as stack:
        if config.cache is None:
            config = replace(config, cache=stack.enter_context(tempfile.TemporaryDirectory()))
        make_films(config, keys, devices, _tell(Path(config.out)))
    parts = [part for job, key in keys.items() if (part := load_part(parts_folder(config), job, key))]
    everyone = [Results(one, [part for part in parts if part.job.variant == one.name]) for one in config.variants]
    report = Report(
        settings=_settings(config, weights, devices[0]),
        everyone=everyone,
        judge=judged,
    )
    report.save(Path(config.out))
    return report


def _tell(folder: Path) -> Tell:
    """Numbers of a film, as soon as it is made: all of them into a file, some on the screen."""
    folder.mkdir(parents=True, exist_ok=True)

    def tell(row: Numbers) -> None:
        with (folder / LINES).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(plain(row)) + "\n")
        shown = {name: row[name] for name in SHOWN if name in row}
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in shown.items()}
        typer.echo(json.dumps(plain(rounded)))

    return tell


def _settings(config: EvaluationConfig, weights: dict[str, str], place: torch.device) -> Numbers:
    films = config.films
    return {
        "checkpoint": Path(config.checkpoint).name,
        "weights": weights,
        "size": f"{config.stream.width}x{config.stream.height}",
        "characters": films.characters,
        "seconds": films.seconds,
        "split": films.split,
        "seed": films.seed,
        "precision": config.precision,
        "speech": Path(config.speech.corpus).name if config.speech.corpus else "espeak-ng",
        "machine": torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    typer.run(main)
