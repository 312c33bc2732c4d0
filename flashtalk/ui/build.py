"""The whole page from its tabs, and the web app around it. Called by app.py and by tests.

To add a tab: one file in ui/tabs with TITLE (a key of its TEXTS), TEXTS and `build(context)`, and one entry in TABS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import fastapi
import gradio as gr
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import Mount

from flashtalk.config_app import DoorConfig, UiConfig
from flashtalk.serving.door import Door
from flashtalk.serving.protocol import Client
from flashtalk.ui import faces, frame, house, pickers, routes, samples, status, theme
from flashtalk.ui import settings as film_settings
from flashtalk.ui.browsers import Browsers
from flashtalk.ui.cleaning import Cleaner, Rule
from flashtalk.ui.context import UiContext
from flashtalk.ui.endpoints import Endpoints
from flashtalk.ui.guard import Guard, Login
from flashtalk.ui.kept import Kept
from flashtalk.ui.leftovers import Leftovers
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.memory import keep_pages_small
from flashtalk.ui.mishaps import spoken
from flashtalk.ui.owners import Owners
from flashtalk.ui.prelude import Prelude
from flashtalk.ui.shutters import Shutters
from flashtalk.ui.streams import Players, Streams
from flashtalk.ui.tabs import compare, long_video, microphone, upload
from flashtalk.ui.texts import Pair, Texts
from flashtalk.ui.tokens import load_tokens
from flashtalk.ui.values import watch_values
from flashtalk.ui.visits import Visits

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"
_MIB = 1 << 20
_PRIVATE = ("films", "jobs", "secret", "lock")
"""Of the app's folder; what is left is Gradio's cache, which Gradio itself must be able to serve."""


class Tab(Protocol):
    """What a module in ui/tabs offers; optional: `routes(context) -> fastapi.APIRouter`; HEAD, links to its styles."""

    TITLE: str
    TEXTS: dict[str, Pair]

    def build(self, context: UiContext) -> None:
        """Lay out the tab and bind its events; called inside its gr.Tab."""


TABS: tuple[Tab, ...] = (upload, microphone, long_video, compare)
_WORDED = (frame, house, status, film_settings, samples, pickers, faces)


def make_context(client: Client, settings: UiConfig, door: DoorConfig | None = None) -> UiContext:
    """The parts that tabs share; makes the app's folder."""
    folder = Path(settings.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    opener, uploads, tokens = Door(door), Path(gr.utils.get_upload_folder()), load_tokens(folder)
    browsers = Browsers(tokens)
    made = settings.made_per_visitor_bytes, settings.made_per_address_bytes
    kept = Kept(browsers, per_visitor_bytes=made[0], per_address_bytes=made[1])
    owners = Owners(uploads, browsers, _shipped(ASSETS), kept)
    cleaner = Cleaner(_rules(opener.config, uploads, folder))
    for forget in (owners.forget_gone, kept.forget_gone):
        cleaner.also(forget)
    return UiContext(
        client=client,
        settings=settings,
        door=opener,
        texts=Texts(*(part.TEXTS for part in _WORDED), *(tab.TEXTS for tab in TABS)),
        tokens=tokens,
        folder=folder,
        assets=ASSETS,
        rate=RateLimit(settings.requests_per_minute),
        browsers=browsers,
        kept=kept,
        owners=owners,
        cleaner=cleaner,
        visits=Visits(browsers, per_visitor=settings.films_per_visitor, per_address=settings.films_per_address),
    )


def build_app(client: Client, settings: UiConfig, context: UiContext | None = None) -> gr.Blocks:
    """All tabs as Gradio Blocks."""
    context = context or make_context(client, settings)
    # What ships with the app is served from where it lies, never copied among the visitors' files, which are removed.
    gr.set_static_paths([*_shipped(context.assets)])
    with gr.Blocks(title="FlashTalk", analytics_enabled=False) as blocks:
        frame.build_header(context)
        with gr.Tabs(elem_id="ft-tabs"):
            for tab in TABS:
                with gr.Tab(context.texts.label(tab.TITLE), id=tab.TITLE):
                    tab.build(context)
        frame.build_footer(context)
    # Gradio's line is one that nobody sees: whoever comes is let through to the house, which tells them their place.
    blocks.max_threads = settings.calls_at_once
    blocks.queue(max_size=settings.calls_waiting, default_concurrency_limit=None)
    _guard_calls(blocks, context)
    watch_values(blocks)
    return blocks


def _guard_calls(blocks: gr.Blocks, context: UiContext) -> None:
    """Errors leave as sentences; of one visitor, so many calls are under way at once, whatever they wait for."""
    settings = context.settings
    calls = Visits(
        context.browsers,
        per_visitor=settings.calls_per_visitor,
        per_address=settings.calls_per_address,
        what="requests under way",
        code="calls_enough",
    )
    for function in blocks.fns.values():
        if function.fn:
            function.fn = spoken(calls.counted(function.fn))


def mount(
    client: Client,
    settings: UiConfig,
    *,
    door: DoorConfig | None = None,
    auth: tuple[str, str] | None = None,
) -> fastapi.FastAPI:
    """The web app: our routes first, then Gradio's page at /. `auth`: a name and a password for the page."""
    context = make_context(client, settings, door)
    blocks = build_app(client, settings, context)
    age_s = context.door.config.upload_age_s
    streams = Streams(blocks, context.browsers, age_s=age_s, most_bytes=settings.streamed_max_bytes)
    for forget in (Leftovers(blocks, age_s=age_s).forget_old, streams.forget_old):
        context.cleaner.also(forget)
    app = fastapi.FastAPI(
        title="FlashTalk", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_cleaned(context.cleaner)
    )
    for router in (routes.build_routes(context), *_routers(context)):
        app.include_router(router)
    app = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=settings.host,
        server_port=settings.port,
        footer_links=["api"],
        run_history=False,
        auth=auth,
        root_path=settings.root_path or None,
        allowed_paths=[],
        blocked_paths=[str(context.folder / name) for name in _PRIVATE],
        favicon_path=str(theme.STATIC / "icon.png"),
        show_error=False,
        max_file_size=settings.upload_max_mib * _MIB,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        i18n=context.texts.i18n(),
        mcp_server=False,
        theme=theme.build_theme(),
        css_paths=[theme.STATIC / "style.css"],
    )
    pages = next(route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, gr.routes.App))
    keep_pages_small(pages)
    # Beside one that allows nobody, Gradio adds none of its own, which lets every site read what a browser may.
    app.add_middleware(CORSMiddleware, allow_origins=())
    app.add_middleware(Players, streams=streams)
    app.add_middleware(
        Shutters,
        browsers=context.browsers,
        owners=context.owners,
        endpoints=Endpoints(blocks),
        below=settings.root_path,
        most_bytes=settings.upload_max_mib * _MIB,
        age_s=age_s,
    )
    app.add_middleware(Prelude, styles="".join(getattr(tab, "HEAD", "") for tab in TABS))
    app.add_middleware(Guard, rate=context.rate, login=Login(pages, auth) if auth else None, names=settings.names)
    return app


def _shipped(assets: Path) -> tuple[Path, ...]:
    """Samples that visitors may name in calls."""
    return assets / "portraits", assets / "speech"


def _rules(ages: DoorConfig, uploads: Path, folder: Path) -> tuple[Rule, ...]:
    return Rule(uploads, ages.upload_age_s), Rule(folder / "films", ages.output_age_s)


def _cleaned(cleaner: Cleaner) -> Callable[[fastapi.FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: fastapi.FastAPI) -> AsyncIterator[None]:
        with cleaner:
            yield

    return lifespan


def _routers(context: UiContext) -> Iterator[fastapi.APIRouter]:
    for tab in TABS:
        make = getattr(tab, "routes", None)
        if make is not None:
            yield make(context)
