"""What visitors leave in the app's memory is little, however many come."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import gradio as gr
import pytest
from fastapi.routing import Mount

import app
from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.ui import build
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
    pages = next(one.app for one in mounted.routes if isinstance(one, Mount) and isinstance(one.app, gr.routes.App))
    states = pages.state_holder
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


def _kept_mib(how: str) -> int:
    command = [sys.executable, "-c", FRAMES, how]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
