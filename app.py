"""The app: `python app.py` serves the page at http://127.0.0.1:7860. All settings are options; see --help.

Hosts that run it as it is (a Hugging Face Space) say by GRADIO_SERVER_NAME and GRADIO_SERVER_PORT where to listen.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from flashtalk.commands.console import Screen, run_and_translate, set_up_logging
from flashtalk.commands.settings import read_config
from flashtalk.config import DEFAULT_SERVE_CONFIG
from flashtalk.config_app import UiConfig
from flashtalk.errors import ConfigError

if TYPE_CHECKING:
    from flashtalk.config import Config

EVERYWHERE = "0.0.0.0"
LOCAL = UiConfig().host
MESSAGE_BYTES = 1 << 20

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Who may come in."""

    host: str
    port: int
    auth: tuple[str, str] | None
    share: bool


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def serve(
    config: Annotated[
        str, typer.Option("--config", metavar="FILE", help="A serve config: a YAML file or a name in configs/serve.")
    ] = DEFAULT_SERVE_CONFIG,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.NAME=VALUE", help="Any setting of the config; may be repeated."),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where to listen; 7860 by default.")] = None,
    lan: Annotated[bool, typer.Option("--lan", help="Let other machines in, with a password.")] = False,
    share: Annotated[
        bool, typer.Option("--share", help="A public address through Gradio's tunnel; password too.")
    ] = False,
    auth: Annotated[
        str | None, typer.Option(metavar="NAME:PASSWORD", help="Ask for these; else they are made.")
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask nobody for a password, whoever can reach it.")
    ] = False,
    folder: Annotated[str, typer.Option(metavar="FOLDER", help="Where films and jobs are kept.")] = UiConfig.folder,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens.")] = False,
) -> None:
    """Serve the page: make talking portraits in the browser."""
    set_up_logging(verbose=verbose)
    doors = _doors(port, auth, lan=lan, share=share, open_to_all=no_auth)
    ui = UiConfig(host=doors.host, port=doors.port, folder=folder)
    _serve(read_config(config, settings or []), ui, doors, Screen())


def _doors(port: int | None, auth: str | None, *, lan: bool, share: bool, open_to_all: bool) -> Doors:
    """Only this machine may come, unless told otherwise; others are asked for a password, unless told otherwise."""
    name, _, password = (auth or "").partition(":")
    if auth and not (name and password):
        raise ConfigError("--auth: write NAME:PASSWORD, both not empty")
    hosted = os.environ.get("GRADIO_SERVER_NAME")
    host = EVERYWHERE if lan else hosted or LOCAL
    if (lan or share) and not auth and not open_to_all:
        name, password = "guest", secrets.token_urlsafe(9)
    chosen = port or int(os.environ.get("GRADIO_SERVER_PORT", UiConfig.port))
    return Doors(host=host, port=chosen, auth=(name, password) if password else None, share=share)


def _serve(config: Config, ui: UiConfig, doors: Doors, screen: Screen) -> None:
    """Start the engine, then the page; both end with Ctrl-C."""
    import uvicorn
    import websockets  # noqa: F401 (without it uvicorn answers 404 to every socket: better to fail now)

    from flashtalk.serving.client import connect
    from flashtalk.ui.build import mount

    screen.note(f"starting {config.model.name}")
    with connect(config) as client:
        web = mount(client, ui, auth=doors.auth)
        server = uvicorn.Server(
            uvicorn.Config(web, host=doors.host, port=doors.port, log_level="warning", ws_max_size=MESSAGE_BYTES)
        )
        for line in _addresses(doors):
            screen.result(line)
        server.run()


def _addresses(doors: Doors) -> Iterator[str]:
    """What to tell the one who started it."""
    here = LOCAL if doors.host == EVERYWHERE else doors.host
    yield f"FlashTalk is at http://{here}:{doors.port}"
    if doors.share:
        from gradio.networking import setup_tunnel

        yield f"and at {setup_tunnel(here, doors.port, secrets.token_urlsafe(32), None, None)}"
    if doors.auth:
        yield f"name: {doors.auth[0]}   password: {doors.auth[1]}"


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run `arguments` (those of the process if None) and exit. 2: wrong usage or setting, 130: Ctrl-C."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    command = typer.main.get_command(app)
    sys.exit(run_and_translate(lambda: command(args=arguments, prog_name="app.py")))


if __name__ == "__main__":
    main()
