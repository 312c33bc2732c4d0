"""The whole page over an engine of known cost, and visitors who call its functions as browsers do."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import gradio as gr
import httpx
from fastapi.routing import Mount
from gradio.blocks import BlockFunction, Blocks

from flashtalk.config import StreamConfig
from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.parallel.groups import Place
from flashtalk.ui.browsers import Browsers
from flashtalk.ui.build import mount
from flashtalk.ui.tokens import load_tokens
from tests.serving.fakes import FakeEngine, FakeSession
from tests.source import ROOT
from tests.ui.live_house import SIZE_PX, PacedEngine, PacedHouse
from tests.ui.live_kit import serve

FACE = ROOT / "assets/portraits/omar.png"
VOICE = ROOT / "assets/speech/english-human-sorry.wav"


class Watched(PacedHouse):
    """`asked`: the stream and the prompt of everything that an engine was ever given."""

    def __init__(self, config: Any, cost_s: Callable[[], float]) -> None:
        self.asked: list[tuple[StreamConfig, str]] = []
        super().__init__(config, cost_s)

    def _build(self, config: Any, place: Place) -> FakeEngine:
        engine = _Engine(config, place.rank, self._cost_s)
        engine.asked = self.asked
        self.engines.append(engine)
        return engine


class _Engine(PacedEngine):
    asked: list[tuple[StreamConfig, str]]

    def open(self, portrait: Any, *, prompt: str = "", **settings: object) -> FakeSession:
        session = super().open(portrait, prompt=prompt, **settings)
        if settings:  # the engine tries itself with none
            self.asked.append((session.stream, prompt))
        return session


@dataclass(frozen=True)
class Page:
    """A page that is served; what it keeps is in `folder`/app."""

    folder: Path
    address: str
    house: Watched
    blocks: Blocks

    @contextmanager
    def visitor(self, *, cookie: bool = True) -> Iterator[Visitor]:
        """Somebody new: a browser, or else a program without a cookie."""
        browsers = Browsers(load_tokens(self.folder / "app"))
        cookies = {browsers.cookie: browsers.new()} if cookie else {}
        with httpx.Client(base_url=self.address, cookies=cookies, timeout=60) as web:
            yield Visitor(self, web, secrets.token_hex(8))

    def function(self, name: str) -> BlockFunction:
        """By the name of its endpoint, or by the id of the button that calls it."""
        for function in self.blocks.fns.values():
            buttons = {getattr(self.blocks.blocks.get(one), "elem_id", None) for one, _ in function.targets}
            if name == function.api_name or name in buttons:
                return function
        raise KeyError(name)


@dataclass(frozen=True)
class Visitor:
    """One page of one browser."""

    page: Page
    web: httpx.Client
    session: str

    def bring(self, path: Path) -> dict[str, Any]:
        """Upload a file; what stands for it in calls."""
        there = self.web.post("/gradio_api/upload", files={"files": (path.name, path.read_bytes())}).json()[0]
        return {"path": there, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def inputs(self, function: BlockFunction) -> list[Any]:
        """What the page sends if nothing was changed, our own face and voice chosen."""
        files: dict[type, Path] = {gr.Image: FACE, gr.Audio: VOICE}
        values = []
        for one in function.inputs:
            kind = next((kind for kind in files if isinstance(one, kind)), None)
            values.append(self.bring(files[kind]) if kind else getattr(one, "value", None))
        return values

    def ask(self, function: BlockFunction, values: list[Any]) -> httpx.Response:
        """Put it into the line."""
        call = {"data": values, "fn_index": function._id, "session_hash": self.session}
        return self.web.post("/gradio_api/queue/join", json=call)

    def told(self) -> Iterator[dict[str, Any]]:
        """What comes back, to the end of all that this visitor asked for."""
        with self.web.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as answer:
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def call(self, function: BlockFunction, values: list[Any]) -> str:
        """All that is said to one call, as text."""
        answer = self.ask(function, values)
        if answer.is_error:
            return answer.text
        return "\n".join(json.dumps(message, ensure_ascii=False) for message in self.told())


@contextmanager
def busy_page(folder: Path, cost_s: float = 0.0, films: int = 3, **settings: object) -> Iterator[Page]:
    """`cost_s`: of a chunk. films: of one visitor at once. settings: of the serve config."""
    config = load_config("cpu", {"stream.width": SIZE_PX, "stream.height": SIZE_PX, **settings})
    environment = {
        "GRADIO_TEMP_DIR": str(folder / "app" / "cache"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000",  # a table after each call, which nobody sees
    }
    ui = UiConfig(folder=str(folder / "app"), requests_per_minute=100_000, films_per_visitor=films)
    with mock.patch.dict("os.environ", environment), Watched(config, lambda: cost_s) as house:
        app = mount(house, ui)
        pages = next(one.app for one in app.routes if isinstance(one, Mount) and isinstance(one.app, gr.routes.App))
        with serve(app) as port:
            yield Page(folder, f"http://127.0.0.1:{port}", house, pages.get_blocks())
