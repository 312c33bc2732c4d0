"""The app for tests: `python app.py` with the shipped small model on a free port, in processes of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.source import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium program, and it is not installed here")
START_S = 90.0
END_S = 15.0


@dataclass(frozen=True)
class Served:
    """An app that runs."""

    url: str
    folder: Path


@contextlib.contextmanager
def serve(folder: Path, *options: str) -> Iterator[Served]:
    """The whole app as a user starts it."""
    port, log = free_port(), folder / "log"
    command = [sys.executable, "app.py", "--port", str(port), "--folder", str(folder / "app"), *options]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "GRADIO_TEMP_DIR": str(folder / "cache")}
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as app,
    ):
        try:
            wait_until_up(f"http://127.0.0.1:{port}/ft/public/static/icon.png", app, log)
            yield Served(f"http://127.0.0.1:{port}", folder / "app")
        finally:
            app.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                app.wait(END_S)
            app.kill()


def wait_until_up(url: str, app: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and app.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    pytest.fail(f"the app did not answer within {START_S:g} s:\n{log.read_text()[-2000:]}", pytrace=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
