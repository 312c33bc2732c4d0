"""`python -m train.evaluate --checkpoint folder --judge folder --out folder`: how good a checkpoint is, as a report."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashtalk.config import Config, StreamConfig
from flashtalk.config_file import from_tree, load_model_config, to_tree
from flashtalk.errors import ConfigError, FlashTalkError
from train.config import SpeechConfig
from train.evaluate.film import Speaker
from train.evaluate.guidance import Guidance
from train.evaluate.long_run import LongPlan, film_long
from train.evaluate.networks import SamplerPlan, build_networks, pick_device, sampled_by
from train.evaluate.report import Report, plain
from train.evaluate.run import Evaluation, RunPlan
from train.evaluate.scores import Numbers
from train.evaluate.sounds import HUMAN, CorpusSpeech, Sounds, by_voice
from train.judge.files import load_judge, read_settings
from train.stages import MODEL_FILE
from train.synthetic.corpus import read
from train.synthetic.render import Renderer
from train.synthetic.sources import open_speech

SHOWN = (
    *("kind", "subject", "voice", "lip_correlation", "lip_correlation_warped", "mean_opening", "identity_similarity"),
    *("identity_similarity_change", "sharpness_change", "seam_ratio", "fps"),
)


class Sampler(StrEnum):
    """How latents are sampled."""

    STUDENT = "student"
    TEACHER = "teacher"


class Precision(StrEnum):
    """What the networks compute in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line, in words of the parts that do the work."""

    checkpoint: Path
    judge: Path
    out: Path
    model: str | None
    speech: Path | None
    espeak: SpeechConfig
    device: str
    dtype: torch.dtype
    stream: StreamConfig
    sampler: SamplerPlan
    samples_per_axis: int
    run: RunPlan
    long: LongPlan


def main(
    checkpoint: Annotated[Path, typer.Option(help="Folder of weights as served, with its manifest.json.")],
    judge: Annotated[Path, typer.Option(help="Folder written by `python -m train.judge`.")],
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.md, sheets and plots.")],
    model: Annotated[str | None, typer.Option(help="Model config; without one the checkpoint's own, or small.")] = None,
    speech: Annotated[Path | None, typer.Option(help="Corpus folder; without one espeak-ng speaks alone.")] = None,
    espeak_library: Annotated[str | None, typer.Option(help="libespeak-ng; without one the installed one.")] = None,
    espeak_data: Annotated[str | None, typer.Option(help="Its data folder.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of the student.")] = 4,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the pictures.")] = "256x256",
    characters: Annotated[int, typer.Option(help="Unseen characters, each with its own unseen voice.")] = 8,
    seconds: Annotated[float, typer.Option(help="Length of their films.")] = 20.0,
    long_seconds: Annotated[float, typer.Option(help="Length of the long films; 0 leaves them out.")] = 1000.0,
    long_characters: Annotated[int, typer.Option(help="How many long films.")] = 2,
    sampler: Annotated[Sampler, typer.Option(help="student, or a teacher with guidance.")] = Sampler.STUDENT,
    teacher_steps: Annotated[int, typer.Option(help="Euler steps of the teacher.")] = 40,
    guidance_text: Annotated[float, typer.Option(help="Of the teacher; 1 is none.")] = Guidance.text,
    guidance_audio: Annotated[float, typer.Option(help="Of the teacher; 1 is none.")] = Guidance.audio,
    null_prompt: Annotated[str, typer.Option(help="Prompt of the teacher's branches without text.")] = "",
    colour_strength: Annotated[float, typer.Option(help="Colour match to the portrait, 0..1.")] = 1.0,
    split: Annotated[str, typer.Option(help="test; validation while something is still chosen.")] = "test",
    seed: Annotated[int, typer.Option(help="Of characters, pauses and noise.")] = 0,
    samples_per_axis: Annotated[int, typer.Option(help="Of the drawing: 1, or 2 for smooth edges.")] = 2,
    precision: Annotated[Precision, typer.Option(help="float32 or bfloat16.")] = Precision.BFLOAT16,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cuda",
) -> None:
    """Film unseen characters with unseen voices and measure the films against the drawn truth."""
    guidance = Guidance(text=guidance_text, audio=guidance_audio, null_prompt=null_prompt)
    try:
        width, height = _size(size)
        options = Options(
            checkpoint=checkpoint,
            judge=judge,
            out=out,
            model=model,
            speech=speech,
            espeak=SpeechConfig(espeak_library=espeak_library, espeak_data=espeak_data),
            device=device,
            dtype=getattr(torch, precision.value),
            stream=StreamConfig(
                width=width,
                height=height,
                steps=teacher_steps if sampler is Sampler.TEACHER else steps,
                colour_strength=colour_strength,
                seed=seed,
            ),
            sampler=SamplerPlan(kind=sampler.value, guidance=guidance, seed=seed),
            samples_per_axis=samples_per_axis,
            run=RunPlan(characters=characters, seconds=seconds, split=split, seed=seed),
            long=LongPlan(seconds=long_seconds, characters=long_characters),
        )
        evaluate(options)
    except FlashTalkError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_status) from None
    typer.echo(f"The report is in {out / 'report.md'}")


def evaluate(options: Options) -> Numbers:
    """Make all films, write the report and give its summary. Raises FlashTalkError."""
    place = pick_device(options.device)
    own = options.checkpoint / MODEL_FILE
    model = load_model_config(options.model or (own if own.is_file() else "small"))
    _check(Config(model=model, stream=options.stream), options.sampler)
    if options.long.seconds:
        options.long.check()
    judge = load_judge(options.judge, place)
    networks = build_networks(model, options.checkpoint, place, options.dtype)
    sampled, noise = sampled_by(networks, options.sampler)
    sounds = open_sounds(options.speech, options.espeak, options.run.split, options.run.seed)
    speaker = Speaker(networks=sampled, stream=options.stream, noise=noise)
    renderer = Renderer(place, samples_per_axis=options.samples_per_axis)
    evaluation = Evaluation(speaker, judge, renderer, sounds, options.run, _tell)
    results = evaluation.run()
    long_rows = film_long(evaluation, options.long) if options.long.seconds else []
    settings, notes = _settings(options, networks.fingerprint, place), read_settings(options.judge)
    report = Report(settings=settings, results=results, long_rows=long_rows, judge=notes.get("validation", {}))
    report.save(options.out)
    return report.summary()


def open_sounds(folder: Path | None, config: SpeechConfig, split: str, seed: int) -> Sounds:
    """Speech of a corpus folder, people's recordings among it, or of espeak-ng. Raises ConfigError, InputError."""
    if folder is None:
        return Sounds(open_speech(config), split, seed)
    utterances = list(read(folder).kept(lambda own, _source, _language: own == split))
    humans = by_voice(one for one in utterances if one.source == HUMAN)
    return Sounds(CorpusSpeech(utterances), split, seed, humans)


def _size(words: str) -> tuple[int, int]:
    width, _, height = words.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"size '{words}' must be WIDTHxHEIGHT, for example 256x256")
    return int(width), int(height)


def _check(config: Config, sampler: SamplerPlan) -> None:
    """The checks of a served config; a teacher may take any number of steps."""
    tree = to_tree(config)
    if sampler.kind == "teacher":
        tree["model"]["distilled_steps"] = [config.stream.steps]
    from_tree(Config, tree)


def _settings(options: Options, fingerprint: str, place: torch.device) -> Numbers:
    stream, guidance = options.stream, options.sampler.guidance
    teacher = {"guidance_text": guidance.text, "guidance_audio": guidance.audio}
    return {
        "checkpoint": options.checkpoint.name,
        "weights": fingerprint,
        "sampler": options.sampler.kind,
        "steps": stream.steps,
        **(teacher if options.sampler.kind == "teacher" else {}),
        "size": f"{stream.width}x{stream.height}",
        "characters": options.run.characters,
        "seconds": options.run.seconds,
        "split": options.run.split,
        "seed": options.run.seed,
        "colour_strength": stream.colour_strength,
        "precision": str(options.dtype).removeprefix("torch."),
        "speech": options.speech.name if options.speech else "espeak-ng",
        "machine": torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
    }


def _tell(row: Numbers) -> None:
    shown = {name: row[name] for name in SHOWN if name in row}
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in shown.items()}
    typer.echo(json.dumps(plain(rounded)))


if __name__ == "__main__":
    typer.run(main)
