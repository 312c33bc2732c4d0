"""The whole page over an engine without networks, in this process: for test_manners.py and test_manners_browser.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from fastapi import FastAPI

import app as command
from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.ui.build import mount
from tests.serving.fakes import FakeHouse
from tests.ui.live_kit import serve

NAME, PASSWORD = "anna", "a long secret"


class Below:
    """A proxy that offers an app below `path` and takes that off before it asks."""

    def __init__(self, app: Any, path: str) -> None:
        self.app, self.path = app, path

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            if not scope["path"].startswith(f"{self.path}/"):
                scope = {**scope, "path": "/outside", "raw_path": b"/outside"}
            else:
                inside = scope["path"].removeprefix(self.path)
                scope = {**scope, "path": inside, "raw_path": inside.encode()}
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Opened:
    """A page that is served; the address has no slash at its end."""

    address: str
    app: FastAPI


@contextmanager
def page(folder: Path, *, auth: tuple[str, str] | None = None, below: str = "") -> Iterator[Opened]:
    """The whole app, its engine's networks excepted."""
    settings = UiConfig(folder=str(folder / "app"), root_path=below, requests_per_minute=100_000)
    environment = {
        "GRADIO_TEMP_DIR": str(folder / "app" / "cache"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": command.NEVER,
    }
    with mock.patch.dict("os.environ", environment), FakeHouse(load_config("cpu")) as client:
        app = mount(client, settings, auth=auth)
        with serve(Below(app, below) if below else app) as port:  # type: ignore[arg-type]
            yield Opened(f"http://127.0.0.1:{port}{below}", app)
