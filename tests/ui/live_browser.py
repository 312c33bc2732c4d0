"""The microphone tab in a browser whose microphone plays a file: for test_live_browser.py and tests/soak_live.py."""

from __future__ import annotations

import gc
import warnings
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from fastapi import FastAPI

from flashtalk.config_app import DoorConfig, UiConfig
from flashtalk.serving.door import Door
from flashtalk.serving.protocol import Client
from flashtalk.ui import theme
from flashtalk.ui.context import UiContext
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.routes import build_routes
from flashtalk.ui.tabs import microphone
from flashtalk.ui.texts import Texts
from flashtalk.ui.tokens import Tokens
from tests.source import ROOT
from tests.ui.live_kit import serve

CHROMIUM = Path("/usr/bin/chromium")
FAKE = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


def make_context(client: Client, folder: Path) -> UiContext:
    return UiContext(
        client=client,
        settings=UiConfig(folder=str(folder)),
        door=Door(DoorConfig()),
        texts=Texts(microphone.TEXTS),
        tokens=Tokens(b"a secret of the test"),
        folder=folder,
        assets=ROOT / "assets",
        rate=RateLimit(1000),
    )


@contextmanager
def gradio_leaks() -> Iterator[None]:
    """Gradio leaves event loops unclosed; they are collected here, so that they do not count as a test's warnings."""
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@contextmanager
def served_page(context: UiContext) -> Iterator[str]:
    """The address of an app with this one tab."""
    with gradio_leaks(), serve(_page(context)) as port:
        yield f"http://127.0.0.1:{port}/"


def _page(context: UiContext) -> FastAPI:
    with gr.Blocks(title="FlashTalk", analytics_enabled=False) as blocks, gr.Tabs(), gr.Tab("Live"):
        microphone.build(context)
    app = FastAPI()
    app.include_router(build_routes(context))
    app.include_router(microphone.routes(context))
    style = theme.STATIC / "style.css"
    return gr.mount_gradio_app(
        app,
        blocks,
        path="",
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        theme=theme.build_theme(),
        css_paths=[style] if style.exists() else None,
        head=theme.head(),
        i18n=context.texts.i18n(),
    )


def write_wav(path: Path, samples_S: np.ndarray, rate: int = 48000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples_S, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@contextmanager
def browser_page(microphone_wav: Path, **context: Any) -> Iterator[Any]:
    """A page of a browser that hears `microphone_wav` again and again."""
    from playwright.sync_api import sync_playwright

    arguments = [*FAKE, f"--use-file-for-fake-audio-capture={microphone_wav}"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", *arguments])
        try:
            opened = browser.new_context(permissions=["microphone"], **context).new_page()
            opened.problems = []
            opened.on("pageerror", lambda error: opened.problems.append(str(error)))
            opened.on("console", lambda m: opened.problems.append(m.text) if m.type == "error" else None)
            yield opened
        finally:
            browser.close()


def make_speech(path: Path, *, pause_s: float = 1.6, talk_s: float = 2.4, turns: int = 3) -> Path:
    """A file that speaks and is silent by turns; a browser plays it again and again."""
    from flashtalk.media.audio import read_audio_all

    speech_S = read_audio_all(ROOT / "assets/speech/english-human-check.wav", 48000)
    talk, parts = round(talk_s * 48000), []
    for turn in range(turns):
        parts += [speech_S[turn * talk : (turn + 1) * talk], np.zeros(round(pause_s * 48000), np.float32)]
    return write_wav(path, np.concatenate(parts))


# What the page itself cannot know: pictures and sound as they were received, and what reaches the loudspeaker.
WATCH = """() => {
  const { conversation } = document.querySelector(".ft-live").page;
  const seen = window.seen = { pictures: [], sounds: [], heard: [], epochs: [] };
  const { player } = conversation;
  const small = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
  player.onPaint = (picture, now) => {
    small.drawImage(picture, 0, 0, 64, 64);
    const grey = [];
    const { data } = small.getImageData(20, 36, 26, 18);
    for (let at = 0; at < data.length; at += 4) grey.push(data[at + 1]);
    seen.pictures.push([picture.timestamp / 1e6, now, grey]);
  };
  const take = player.take.bind(player);
  player.take = (message) => {
    if (message.kind === 2) seen.sounds.push([message.pts, [...new Int16Array(message.data.slice().buffer)]]);
    take(message);
  };
  const obey = conversation.obey.bind(conversation);
  conversation.obey = (message) => {
    if (message.type === "epoch") seen.epochs.push([message.reason, performance.now()]);
    obey(message);
  };
  const ear = conversation.audio.createAnalyser();
  ear.fftSize = 512;
  player.queue.node.connect(ear);
  const wave = new Float32Array(512);
  setInterval(() => {
    ear.getFloatTimeDomainData(wave);
    seen.heard.push([performance.now(), Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / 512)]);
  }, 10);
}"""

FIGURES = """() => {
  const page = document.querySelector(".ft-live").page, { conversation } = page;
  if (!conversation) return null;
  const { player, wire, audio } = conversation, { figures } = player;
  return {
    state: page.root.dataset.state, status: page.status.innerText,
    first_ms: figures.firstAt - page.clickedAt, painted: figures.painted, late: figures.late, skews: figures.skews,
    delay_s: page.meter.trueDelayS, stages: page.meter.seconds, now: player.now(), context_s: audio.currentTime,
    reconnects: wire.reconnects, dropped: conversation.dropped, queue: player.queue ? player.queue.state : null,
    buffered_s: player.bufferedS,
  };
}"""


def mouth_and_voice(seen: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(how much the mouth moves at each picture shown, how loud the sound that came with it is), in order of time."""
    pictures = sorted({round(pts * 25): grey for pts, _, grey in seen["pictures"]}.items())
    grey = np.array([values for _, values in pictures], np.float32)
    loud: dict[int, float] = {}
    for pts, samples in seen["sounds"]:
        frames = np.array(samples, np.float32)[: len(samples) // 640 * 640].reshape(-1, 640) / 32768
        loud |= {round(pts * 25) + index: float(np.sqrt(np.mean(f**2))) for index, f in enumerate(frames)}
    pairs = [
        (float(np.abs(grey[at] - grey[at - 1]).mean()), loud[number])
        for at, (number, _) in enumerate(pictures)
        if at and number in loud and pictures[at - 1][0] == number - 1
    ]
    return np.array([move for move, _ in pairs]), np.array([level for _, level in pairs])
