"""The whole page from its tabs, and the web app around it. Called by app.py and by tests.

To add a tab: one file in ui/tabs with TITLE (a key of its TEXTS), TEXTS and `build(context)`, and one entry in TABS.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import fastapi
import gradio as gr

from flashtalk.config_app import DoorConfig, UiConfig
from flashtalk.serving.door import Door
from flashtalk.serving.protocol import Client
from flashtalk.ui import frame, pickers, routes, samples, status, theme
from flashtalk.ui import settings as film_settings
from flashtalk.ui.context import UiContext
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.tabs import compare, long_video, microphone, upload
from flashtalk.ui.texts import Pair, Texts
from flashtalk.ui.tokens import load_tokens

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"
_MIB = 1 << 20
_SWEEP_S = 60


class Tab(Protocol):
    """What a module in ui/tabs offers; `routes(context) -> fastapi.APIRouter` is optional."""

    TITLE: str
    TEXTS: dict[str, Pair]

    def build(self, context: UiContext) -> None:
        """Lay out the tab and bind its events; called inside its gr.Tab."""


TABS: tuple[Tab, ...] = (upload, microphone, long_video, compare)


def make_context(client: Client, settings: UiConfig, door: DoorConfig | None = None) -> UiContext:
    """The parts that tabs share; makes the app's folder."""
    folder = Path(settings.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return UiContext(
        client=client,
        settings=settings,
        door=Door(door),
        texts=Texts(
            frame.TEXTS, status.TEXTS, film_settings.TEXTS, samples.TEXTS, pickers.TEXTS, *(tab.TEXTS for tab in TABS)
        ),
        tokens=load_tokens(folder),
        folder=folder,
        assets=ASSETS,
        rate=RateLimit(settings.requests_per_minute),
    )


def build_app(client: Client, settings: UiConfig, context: UiContext | None = None) -> gr.Blocks:
    """All tabs as Gradio Blocks."""
    context = context or make_context(client, settings)
    age_s = round(context.door.config.upload_age_s)
    with gr.Blocks(title="FlashTalk", analytics_enabled=False, delete_cache=(_SWEEP_S, age_s)) as blocks:
        frame.build_header(context)
        with gr.Tabs(elem_id="ft-tabs"):
            for tab in TABS:
                with gr.Tab(context.texts.label(tab.TITLE), id=tab.TITLE):
                    tab.build(context)
        frame.build_footer(context)
    blocks.queue(max_size=settings.queue_places, default_concurrency_limit=settings.films_at_once)
    return blocks


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
    app = fastapi.FastAPI(title="FlashTalk", docs_url=None, redoc_url=None, openapi_url=None)
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
        allowed_paths=[],
        blocked_paths=[str(context.folder)],
        favicon_path=str(theme.STATIC / "icon.png"),
        show_error=True,
        max_file_size=settings.upload_max_mib * _MIB,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        i18n=context.texts.i18n(),
        mcp_server=False,
        theme=theme.build_theme(),
        css_paths=[theme.STATIC / "style.css"],
        head=theme.head(),
    )
    app.add_middleware(routes.Guard, rate=context.rate)
    return app


def _routers(context: UiContext) -> Iterator[fastapi.APIRouter]:
    for tab in TABS:
        make = getattr(tab, "routes", None)
        if make is not None:
            yield make(context)
