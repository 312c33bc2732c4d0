"""The app: `python app.py` serves the page at http://127.0.0.1:7860. All settings are options; see --help.

Hosts that run it as it is (a Hugging Face Space) say by GRADIO_SERVER_NAME and GRADIO_SERVER_PORT where to listen,
and proxies by GRADIO_ROOT_PATH below which path they offer it (they take that path off before they ask).
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import urlsplit

import typer

from flashtalk.commands.console import Screen, run_and_translate, set_up_logging
from flashtalk.commands.settings import read_config
from flashtalk.config import DEFAULT_SERVE_CONFIG
from flashtalk.config_app import UiConfig
from flashtalk.errors import ConfigError
from flashtalk.ui.hosts import ANY, is_name
from flashtalk.ui.place import listen, outer_addresses, own_folder, own_names

if TYPE_CHECKING:
    from socket import socket

    import uvicorn

    from flashtalk.config import Config
    from flashtalk.ui.lobby import House

EVERYWHERE = "0.0.0.0"
LOCAL = UiConfig().host
MESSAGE_BYTES = 1 << 20
SPACE_PROXIES = "127.0.0.0/8,::1,10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fc00::/7"
"""All visitors of a Space come through proxies inside its network, which add whom they ask for to a header. The last
address there that is none of theirs is the visitor's, which limits count by; those before it anybody can write."""
ARRIVALS = 128
"""Connections that are taken before any is looked at; each is an open file."""
NEVER = str(1 << 60)
"""Calls after which Gradio sums up the last ten thousand, for a page that this app does not show; else after each."""
GRACE_S = 1
"""Answers under way may go on for so long after Ctrl-C."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Where the app listens and who may come in. `exactly`: at this port or nowhere."""

    host: str
    port: int
    exactly: bool
    auth: tuple[str, str] | None
    share: bool
    hosts: tuple[str, ...] = ()


@app.command(context_settings={"help_option_names": ["-h", "--help"]})
def serve(
    config: Annotated[
        str, typer.Option("--config", metavar="FILE", help="A serve config: a YAML file or a name in configs/serve.")
    ] = DEFAULT_SERVE_CONFIG,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.NAME=VALUE", help="Any setting of the config; may be repeated."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where to listen; else 7860, or the next one that is free.")
    ] = None,
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
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A name to answer to without a password, beside addresses and localhost; may be repeated.",
        ),
    ] = None,
    folder: Annotated[
        str | None, typer.Option(metavar="FOLDER", help=f"Where films and jobs are kept; else {UiConfig.folder}.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens.")] = False,
) -> None:
    """Serve the page: make talking portraits in the browser."""
    set_up_logging(verbose=verbose)
    doors = _doors(port, auth, lan=lan, share=share, open_to_all=no_auth, hosts=hosts or ())
    chosen, screen = read_config(config, settings or []), Screen()
    with closing(listen(doors.host, doors.port, exactly=doors.exactly)) as listener:
        doors = replace(doors, port=listener.getsockname()[1])
        with _folder(folder, doors.port) as own:
            os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(own) / "cache"))
            ui = UiConfig(
                host=doors.host, port=doors.port, folder=own, root_path=os.environ.get("GRADIO_ROOT_PATH", "")
            )
            _serve(chosen, ui, doors, listener, screen)


def _doors(
    port: int | None, auth: str | None, *, lan: bool, share: bool, open_to_all: bool, hosts: Sequence[str] = ()
) -> Doors:
    """Only this machine may come, unless told otherwise; others are asked for a password, unless told otherwise."""
    name, _, password = (auth or "").partition(":")
    if auth is not None and not (name and password):
        raise ConfigError("--auth: write NAME:PASSWORD, both not empty")
    if auth and open_to_all:
        raise ConfigError("--auth asks for a password and --no-auth for none; give one of them")
    for wrong in (one for one in hosts if not is_name(one)):
        raise ConfigError(f"--allow-host: {wrong!r} is no name; write it like talk.example.com, or {ANY} for any")
    hosted = os.environ.get("GRADIO_SERVER_NAME")
    host = EVERYWHERE if lan else hosted or LOCAL
    if (lan or share) and not auth and not open_to_all:
        name, password = "guest", secrets.token_urlsafe(9)
    told = os.environ.get("GRADIO_SERVER_PORT", "")
    if told and not (told.isdecimal() and 0 < int(told) < 65536):
        raise ConfigError(f"GRADIO_SERVER_PORT: {told!r} is no port; write a number from 1 to 65535")
    wanted = port or int(told or 0)
    return Doors(
        host=host,
        port=wanted or UiConfig.port,
        exactly=bool(wanted),
        auth=(name, password) if password else None,
        share=share,
        hosts=tuple(one.lower() for one in hosts),
    )


def _names(doors: Doors, shared: str) -> tuple[str, ...]:
    """By which it may be asked; `shared`: the tunnel's address, "" without one."""
    if "SPACE_ID" in os.environ:  # its proxies find it by its name, which may also be one of the owner's
        return (ANY,)
    own = () if doors.host == LOCAL else (doors.host.lower(), *own_names())
    return (*doors.hosts, *own, *filter(None, [urlsplit(shared).hostname]))


@contextmanager
def _folder(named: str | None, port: int) -> Iterator[str]:
    """The folder that was named, or else the usual one, or one for this port where another app has that."""
    usual = Path(named or UiConfig.folder).resolve()
    folder, mark = usual, own_folder(usual)
    if mark is None and named is None:
        folder = usual.with_name(f"{usual.name}-{port}")
        mark = own_folder(folder)
    if mark is None:
        raise ConfigError(
            f"another FlashTalk uses {folder}; name a folder for this one: --folder FOLDER", code="folder"
        )
    with mark:
        yield str(folder)


def _serve(config: Config, ui: UiConfig, doors: Doors, listener: socket, screen: Screen) -> None:
    """The page at once, the engine behind it as soon as it is ready; both end with Ctrl-C."""
    import uvicorn
    import websockets  # noqa: F401 (without it uvicorn answers 404 to every socket: better to fail now)

    from flashtalk.ui.connections import PatientProtocol, SparingFilter, most_connections
    from flashtalk.ui.lobby import Lobby
    from flashtalk.ui.memory import give_large_back

    give_large_back()
    shared = _tunnel(doors) if doors.share else ""
    ui = replace(ui, names=_names(doors, shared))

    def failed() -> None:
        server.should_exit = True

    lobby = Lobby(lambda: _open(config, ui, doors, screen), failed)
    server = uvicorn.Server(
        uvicorn.Config(
            lobby,
            http=PatientProtocol,
            limit_concurrency=most_connections(),
            backlog=ARRIVALS,
            log_level="warning",
            ws_max_size=MESSAGE_BYTES,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    for log_filter in (_Leaving(server), SparingFilter()):
        logging.getLogger("uvicorn.error").addFilter(log_filter)
    for line in _addresses(doors, shared):
        screen.result(line)
    screen.note(f"starting {config.model.name}")
    try:
        server.run(sockets=[listener])
    finally:
        if lobby.house is not None:
            lobby.house.client.close()
    if lobby.failure is not None:
        raise lobby.failure


class _Leaving(logging.Filter):
    """Answers that never end by themselves are cut short with Ctrl-C; that is no news to anybody."""

    def __init__(self, server: uvicorn.Server) -> None:
        super().__init__()
        self._server = server

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (self._server.should_exit and (error is None or isinstance(error, asyncio.CancelledError)))


def _open(config: Config, ui: UiConfig, doors: Doors, screen: Screen) -> House:
    """The engine's process starts while this one still imports what the page is made of."""
    from concurrent.futures import ThreadPoolExecutor

    from flashtalk.serving.client import connect
    from flashtalk.ui.lobby import House

    with ThreadPoolExecutor(1) as pool:
        importing = pool.submit(importlib.import_module, "flashtalk.ui.build")
        client = connect(config)
        build = importing.result()
    house = House(client, build.mount(client, ui, auth=doors.auth))
    screen.note("ready; Ctrl-C ends it")
    return house


def _addresses(doors: Doors, shared: str = "") -> Iterator[str]:
    """What to tell the one who started it; `shared`: the tunnel's."""
    here = _here(doors)
    yield f"FlashTalk is at http://{here}:{doors.port}"
    if doors.host == EVERYWHERE:
        for address in outer_addresses():
            yield f"for others: http://{address}:{doors.port}"
    if shared:
        yield f"and at {shared}"
    if doors.auth:
        yield f"name: {doors.auth[0]}   password: {doors.auth[1]}"


def _here(doors: Doors) -> str:
    return LOCAL if doors.host == EVERYWHERE else doors.host


def _tunnel(doors: Doors) -> str:
    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel(_here(doors), doors.port, secrets.token_urlsafe(32), None, None)
    except Exception as error:
        raise ConfigError(f"--share: no public address could be had ({error}); try --lan", code="share") from error


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run `arguments` (those of the process if None) and exit. 2: wrong usage or setting, 130: Ctrl-C."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", NEVER)
    if "SPACE_ID" in os.environ:
        os.environ.setdefault("FORWARDED_ALLOW_IPS", SPACE_PROXIES)
    command = typer.main.get_command(app)
    sys.exit(run_and_translate(lambda: command(args=arguments, prog_name="app.py")))


if __name__ == "__main__":
    main()
