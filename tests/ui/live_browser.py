"""The microphone tab in a browser whose microphone plays a file: for test_live_browser.py and tests/soak_live.py."""

from __future__ import annotations

import gc
import warnings
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flashtalk.config_app import UiConfig
from flashtalk.serving.protocol import Client
from flashtalk.ui.build import mount
from tests.source import ROOT
from tests.ui.live_kit import serve

CHROMIUM = Path("/usr/bin/chromium")
FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
CAMERA_PX = (640, 480)
SOUND = "--autoplay-policy=no-user-gesture-required"


@contextmanager
def served_page(client: Client, folder: Path) -> Iterator[str]:
    """The address of the whole app around `client`."""
    settings = UiConfig(folder=str(folder), requests_per_minute=1000)
    try:
        with serve(mount(client, settings)) as port:
            yield f"http://127.0.0.1:{port}/"
    finally:
        with warnings.catch_warnings():  # Gradio leaves event loops unclosed
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


def write_wav(path: Path, samples_S: np.ndarray, rate: int = 48000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples_S, -1, 1) * 32767).astype("<i2").tobytes())
    return path


@contextmanager
def browser_page(microphone_wav: Path | None, **context: Any) -> Iterator[Any]:
    """A page of a browser that hears `microphone_wav` again and again; None: its visitor allows no microphone."""
    from playwright.sync_api import sync_playwright

    fake = [*FAKE, f"--use-file-for-fake-audio-capture={microphone_wav}"] if microphone_wav else []
    allowed = ["microphone"] if microphone_wav else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", SOUND, *fake])
        try:
            opened = browser.new_context(permissions=allowed, **context).new_page()
            opened.problems = []
            opened.on("pageerror", lambda error: opened.problems.append(str(error)))
            opened.on("console", lambda m: opened.problems.append(m.text) if m.type == "error" else None)
            yield opened
        finally:
            browser.close()


def open_tab(tab: Any, address: str) -> None:
    """Load the page and choose the tab; it is ready when it has its token and its script."""
    tab.goto(address)
    tab.get_by_role("tab", name="Live").click()
    tab.wait_for_selector("#ft-live-pass [data-token]", state="attached")
    tab.wait_for_function("() => document.querySelector('.ft-live')?.page")


def talking(tab: Any, button: str = "start") -> None:
    """Press Start (or `sample`) and wait for the first picture."""
    tab.click(f".ft-live [data-do={button}]")
    tab.wait_for_function("() => document.querySelector('.ft-live').page.conversation?.player?.figures.painted > 0")


def make_speech(path: Path, *, pause_s: float = 1.6, talk_s: float = 2.4, turns: int = 3) -> Path:
    """A file that speaks and is silent by turns; a browser plays it again and again."""
    from flashtalk.media.audio import read_audio_all

    speech_S = read_audio_all(ROOT / "assets/speech/english-human-check.wav", 48000)
    talk, parts = round(talk_s * 48000), []
    for turn in range(turns):
        parts += [speech_S[turn * talk : (turn + 1) * talk], np.zeros(round(pause_s * 48000), np.float32)]
    return write_wav(path, np.concatenate(parts))


def make_camera(path: Path, picture: Image.Image) -> Path:
    """A film for a browser's camera that stands still: the picture in the middle of 640x480."""
    shown = Image.new("YCbCr", CAMERA_PX, (110, 128, 128))
    shown.paste(picture.resize((CAMERA_PX[1], CAMERA_PX[1])).convert("YCbCr"), ((CAMERA_PX[0] - CAMERA_PX[1]) // 2, 0))
    luma, *colours = shown.split()
    half = [colour.resize((CAMERA_PX[0] // 2, CAMERA_PX[1] // 2)) for colour in colours]
    head = f"YUV4MPEG2 W{CAMERA_PX[0]} H{CAMERA_PX[1]} F10:1 Ip A1:1 C420jpeg\nFRAME\n"
    path.write_bytes(head.encode() + b"".join(plane.tobytes() for plane in (luma, *half)))
    return path


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

# How late this busy machine is with what it was asked to do: timers of the page.
WATCH_LATENESS = """() => {
  let last = performance.now();
  window.lateness = [];
  setInterval(() => { const now = performance.now(); window.lateness.push(now - last - 20); last = now; }, 20);
}"""
LATENESS_S = "() => window.lateness.sort((a, b) => a - b)[Math.floor(window.lateness.length * 0.98)] / 1000"

FIGURES = """() => {
  const page = document.querySelector(".ft-live").page, { conversation } = page;
  if (!conversation) return null;
  const { player, wire, audio } = conversation, { figures } = player;
  return {
    state: page.root.dataset.state, status: page.status.innerText,
    first_ms: figures.firstAt - page.clickedAt, painted: figures.painted, late: figures.late, skews: figures.skews,
    delay_s: page.meter.trueDelayS, stages: page.meter.seconds, now: player.now(), context_s: audio.currentTime,
    reconnects: wire.reconnects, dropped: conversation.dropped, words_lost_s: conversation.wordsLostS,
    queue: player.queue ? player.queue.state : null,
    heap_mib: performance.memory ? performance.memory.usedJSHeapSize / 2 ** 20 : 0,
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
