"""What visitors leave in the app's memory is little, however many come."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastapi
import gradio as gr
import pytest
from fastapi.routing import Mount
from gradio.route_utils import FileUploadProgress

import app
from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.ui import build
from flashtalk.ui.leftovers import Leftovers
from flashtalk.ui.memory import MOST_PAGES
from tests.serving.fakes import FakeHouse
from tests.source import ROOT

FRAMES = """
import sys
import numpy as np
import psutil
from flashtalk.ui.memory import give_large_back

if sys.argv[1] == "given back":
    give_large_back()
process = psutil.Process()
np.ones(24 << 20, np.uint8)
before, small = process.memory_info().rss, []
for large in [np.ones(8 << 20, np.uint8) for _ in range(8)]:
    small.append(bytes(40_000))
large = None
print((process.memory_info().rss - before) >> 20)
"""
"""Frames of films, and things that stay, such as a page's state."""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_memory_of_frames_goes_back_to_the_system() -> None:
    assert _kept_mib("given back") < 8


def test_the_app_gives_it_back_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class Begun(Exception):
        pass

    def give_large_back() -> None:
        raise Begun

    monkeypatch.setattr("flashtalk.ui.memory.give_large_back", give_large_back)
    with pytest.raises(Begun):
        app._serve(*[None] * 5)  # type: ignore[arg-type]


def test_a_page_costs_little_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    with FakeHouse(load_config("cpu")) as client:
        mounted = build.mount(client, UiConfig(folder=str(tmp_path / "app")))
    states = pages_of(mounted).state_holder
    tracemalloc.start()
    try:
        for number in range(20):
            state = states[f"page {number}"]
            for key, component in state.blocks_config.blocks.items():
                assert state.get(key) is component
        assert tracemalloc.get_traced_memory()[0] / 20 < 48 << 10
    finally:
        tracemalloc.stop()
    for number in range(MOST_PAGES + 20):
        states[f"another {number}"]
    assert len(states.session_data) <= MOST_PAGES + 1
    assert "page 0" not in states


class _Clock:
    now_s = 0.0


def leftovers(calls: dict[str, set[str]]) -> tuple[Leftovers, _Clock, Any]:
    """Of a queue where somebody has messages to hear, and the call "runs" is under way."""
    clock, queue = _Clock(), SimpleNamespace()
    queue.pending_event_ids_session = calls
    queue.event_ids_to_events, queue.pending_messages_per_session = {"runs": None}, {"hears": None}
    blocks: Any = SimpleNamespace(_queue=queue)
    return Leftovers(blocks, age_s=900, now_s=lambda: clock.now_s), clock, queue


def test_who_asks_for_uploads_that_are_none_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = FileUploadProgress()
    monkeypatch.setattr("gradio.routes.file_upload_statuses", statuses)
    left, clock, _ = leftovers({})

    async def ask(upload: str) -> None:
        await asyncio.wait_for(statuses.is_tracked(upload), 0.2)

    async def ask_all() -> None:
        asked = asyncio.gather(*(ask(f"none {number}") for number in range(20)), return_exceptions=True)
        while len(statuses._signals) < 20:
            await asyncio.sleep(0)
        left.forget_old()
        assert len(statuses._signals) == 20, "they still wait"
        await asked

    asyncio.run(ask_all())
    for upload in ("over", "goes on"):
        statuses.track(upload)
    statuses.set_done("over")
    for clock.now_s, kept in ((0, ["goes on"]), (890, ["goes on"]), (910, [])):
        left.forget_old()
        assert [*statuses._signals] == [*statuses._statuses] == kept


def test_calls_that_were_heard_and_those_that_nobody_can_hear_any_more_are_forgotten() -> None:
    known = {"heard": set[str](), "goes on": {"runs"}, "hears": {"done"}, "never came back": {"done"}}
    left, _, queue = leftovers(known)
    left.forget_old()
    assert [*queue.pending_event_ids_session] == ["goes on", "hears"]
    queue.pending_event_ids_session["heard"].add("new")
    assert queue.pending_event_ids_session["heard"] == {"new"}, "a call that comes while it is swept"


def test_who_looks_for_a_call_finds_it_while_others_are_forgotten() -> None:
    """As Gradio does in its own thread."""
    left, _, queue = leftovers({"heard": set(), "goes on": {"runs"}})
    looking = iter(queue.pending_event_ids_session.items())
    next(looking)
    left.forget_old()
    assert next(looking) == ("goes on", {"runs"})


def test_the_mounted_app_forgets_calls_that_are_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    with FakeHouse(load_config("cpu")) as client:
        context = build.make_context(client, UiConfig(folder=str(tmp_path / "app")))
        monkeypatch.setattr(build, "make_context", lambda *_: context)
        queue = pages_of(build.mount(client, context.settings)).get_blocks()._queue
    queue.pending_event_ids_session["heard"] = set()
    context.cleaner.sweep()
    assert not queue.pending_event_ids_session


def pages_of(mounted: fastapi.FastAPI) -> gr.routes.App:
    return next(one.app for one in mounted.routes if isinstance(one, Mount) and isinstance(one.app, gr.routes.App))


def _kept_mib(how: str) -> int:
    command = [sys.executable, "-c", FRAMES, how]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
