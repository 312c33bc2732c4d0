"""The program `flashtalk`: options and help texts. What a command does is in flashtalk/commands/.

Nothing heavy is imported before a command runs, so that `flashtalk --help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flashtalk import __version__
from flashtalk.cli_ranks import own_place, run_ranks
from flashtalk.commands.bench_options import LADDER_FILE, read_counts, refuse_useless
from flashtalk.commands.console import Screen, run_and_translate, set_up_logging
from flashtalk.commands.settings import read_config, read_film_config
from flashtalk.config import DEFAULT_SERVE_CONFIG

app = typer.Typer(
    name="flashtalk",
    help="A picture and a voice in, a talking person out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Fit(StrEnum):
    """How a portrait of another aspect ratio is brought to size."""

    COVER = "cover"
    CONTAIN = "contain"


def _show_version(wanted: bool) -> None:
    if wanted:
        Screen().result(f"flashtalk {__version__}")
        raise typer.Exit


def _be_verbose(wanted: bool) -> None:
    if wanted:
        set_up_logging(verbose=True)


Verbose = Annotated[
    bool, typer.Option("--verbose", callback=_be_verbose, help="Log what happens; show tracebacks of errors.")
]
ConfigFile = Annotated[
    str, typer.Option("--config", metavar="FILE", help="A serve config: a YAML file or a name in configs/serve.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.NAME=VALUE", help="Any setting of the config; may be repeated."),
]


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Tell the version.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """A picture and a voice in, a talking person out."""
    set_up_logging(verbose=verbose)


@app.command()
def generate(
    portrait: Annotated[str, typer.Option(metavar="IMAGE", help="The person: PNG, JPEG, WebP or BMP.")],
    audio: Annotated[str, typer.Option(metavar="SOUND", help="The voice: WAV, FLAC, MP3, M4A, Ogg, WebM or MP4.")],
    output: Annotated[Path, typer.Option(metavar="FILM.mp4", help="Where the film goes.")],
    config: ConfigFile = DEFAULT_SERVE_CONFIG,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same film.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps: those that the model was trained for.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WIDTHxHEIGHT", help="Brought to the nearest legal size.")] = None,
    fit: Annotated[Fit | None, typer.Option(help="Crop the portrait around the face, or show all of it.")] = None,
    prompt: Annotated[str, typer.Option(help="What the person does and where.")] = "",
    settings: Settings = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a film that was interrupted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a film that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")] = False,
    _verbose: Verbose = False,
) -> None:
    """Make a film of a picture and a sound file.

    While it is made, FILM.part.mp4 (it plays already) and FILM.journal/ stand beside it. After a stop of any kind,
    the same command with --resume goes on and gives the same file as if nothing had happened.
    """
    screen = Screen(quiet=quiet)
    chosen, notes = read_film_config(config, settings or [], seed=seed, steps=steps, size=size, fit=fit)
    for note in notes:
        screen.note(note)
    from flashtalk.commands.generate import Order, run_generate

    order = Order(
        portrait=portrait,
        audio=audio,
        output=output,
        config=chosen,
        prompt=prompt,
        resume=resume,
        overwrite=overwrite,
    )
    screen.result(run_generate(order, screen).words())


@app.command()
def models(_verbose: Verbose = False) -> None:
    """List the models: sizes, configs that use them, where their weights are, licence, source."""
    from flashtalk.commands.models import known_models, models_tables

    Screen().result(models_tables(known_models()))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    _verbose: Verbose = False,
) -> None:
    """Tell what is installed and usable here. Exit status 0 if the default config can run, 1 if not."""
    from flashtalk.commands.doctor import examine, report_json, report_text

    report = examine()
    Screen().result(report_json(report) if as_json else report_text(report))
    raise typer.Exit(0 if report.can_run else 1)


@app.command()
def bench(
    config: ConfigFile = DEFAULT_SERVE_CONFIG,
    settings: Settings = None,
    gpus: Annotated[
        str | None, typer.Option(metavar="N", help="GPUs that compute one stream together; with --ladder 1,2,4,8.")
    ] = None,
    chunks: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Chunks to measure: 10, with --ladder 40.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, metavar="M", help="Measure so long instead, and how memory grows.")
    ] = None,
    load: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Compute so long before: 0, with --ladder 20 seconds.")
    ] = None,
    ahead: Annotated[
        bool, typer.Option("--ahead", help="Give the sound a chunk ahead, as files have it; else as live.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers there too.")
    ] = None,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Measure the serve configs h200x*, side by side; logs go beside --json.")
    ] = False,
    rungs: Annotated[str | None, typer.Option(metavar="A,B", help="Of the ladder, or any other configs.")] = None,
    eager: Annotated[bool, typer.Option("--eager/--no-eager", help="Exact rungs also without compiling.")] = True,
    limit: Annotated[float, typer.Option(min=1, metavar="S", help="The longest that one rung may take.")] = 900.0,
    earlier: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE", help="Show what earlier runs wrote; may be repeated.")
    ] = None,
    _verbose: Verbose = False,
) -> None:
    """Measure how fast a config is on this machine: frames a second, latency, memory."""
    given = {"--from": earlier, "--ladder": ladder, "--gpus": gpus, "--set": settings, "--chunks": chunks}
    own = None if config == DEFAULT_SERVE_CONFIG else config
    refuse_useless({**given, "--config": own, "--minutes": minutes, "--load": load, "--ahead": ahead, "--rungs": rungs})
    counts = read_counts(gpus)
    if earlier:
        from flashtalk.commands.bench_ladder import show_files

        show_files(earlier, Screen(), json_file=json_file)
        return
    if ladder:
        from flashtalk.commands.bench_ladder import LadderOrder, run_ladder

        order = LadderOrder(
            file=json_file or Path(LADDER_FILE),
            rungs=tuple(rungs.split(",")) if rungs else (),
            gpus=counts,
            settings=tuple(settings or ()),
            chunks=chunks or 40,
            load_s=20.0 if load is None else load,
            sound_ahead=ahead,
            eager=eager,
            limit_s=limit,
        )
        run_ladder(order, Screen())
        return
    place = own_place()
    ranks = counts[0] if counts else place and place.world
    chosen = read_config(config, [*(settings or []), *([f"parallel.ranks={ranks}"] if ranks else [])])
    if chosen.parallel.ranks > 1 and place is None:
        run_ranks(chosen.parallel.ranks, sys.argv[1:])
        return
    from flashtalk.commands.bench import bench

    bench(
        chosen,
        Screen(),
        chunks=chunks or 10,
        minutes=minutes,
        load_s=load or 0.0,
        sound_ahead=ahead,
        json_file=json_file,
        place=place,
    )


@app.command()
def plan(
    config: ConfigFile = DEFAULT_SERVE_CONFIG,
    settings: Settings = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="A name in configs/devices; else this one.")
    ] = None,
    _verbose: Verbose = False,
) -> None:
    """Predict what a config needs and how fast it should be. Runs nothing, downloads nothing."""
    chosen = read_config(config, settings or [])
    from flashtalk.commands.plan import plan

    plan(chosen, Screen(), device=device)


@app.command()
def convert(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the published files are.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="A name in configs/models.")] = "flashtalk-14b",
    source: Annotated[str, typer.Option(help="Where the files are from; noted in the manifest.")] = "",
    revision: Annotated[str | None, typer.Option(metavar="COMMIT", help="Their revision; noted too.")] = None,
    _verbose: Verbose = False,
) -> None:
    """Turn published .pth files into safetensors and write the manifest, once for each download."""
    from flashtalk.commands.convert import convert

    convert(folder, Screen(), model=model, source=source, revision=revision)


def main(arguments: list[str] | None = None) -> NoReturn:
    """The entry point: run `arguments` (those of the process if None) and exit. 2: wrong usage, 130: Ctrl-C."""
    # Read when torch is loaded. Threads that spin while they wait take the core that the others need: on two busy
    # cores a chunk then costs three times the processor time.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    command = typer.main.get_command(app)
    sys.exit(run_and_translate(lambda: command(args=arguments, prog_name="flashtalk")))
