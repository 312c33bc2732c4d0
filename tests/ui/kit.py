"""The app for tests: what `make demo` runs, with the shipped small model on a free port, in processes of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.source import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium program, and it is not installed here")
START_S = 90.0
END_S = 15.0


@dataclass(frozen=True)
class Served:
    """An app that runs. up_s: what it took from its command to /ready."""

    url: str
    folder: Path
    app: subprocess.Popen[bytes]
    log: Path
    up_s: float = 0.0


@contextlib.contextmanager
def serve(folder: Path, *options: str) -> Iterator[Served]:
    """The whole app as a user starts it, and ready."""
    began_s = time.monotonic()
    with starting(folder, *options) as app:
        wait_until_up(app)
        yield replace(app, up_s=time.monotonic() - began_s)


def demo(port: int) -> list[str]:
    """The command of `make demo`, without the install."""
    quiet, ready = ["make", "--no-print-directory", "--dry-run"], f"--old-file={sys.prefix}/.runtime"
    asked = [*quiet, ready, "demo", f"VENV={sys.prefix}", f"PORT={port}"]
    said = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return shlex.split(said.splitlines()[-1])


@contextlib.contextmanager
def starting(folder: Path, *options: str) -> Iterator[Served]:
    """The same at once, ready or not."""
    port, log = free_port(), folder / "log"
    command = [*demo(port), "--folder", str(folder / "app"), *options]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "GRADIO_TEMP_DIR": str(folder / "cache")}
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as app,
    ):
        try:
            yield Served(f"http://127.0.0.1:{port}", folder / "app", app, log)
        finally:
            app.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                app.wait(END_S)
            app.kill()


def wait_until_up(served: Served) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and served.app.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{served.url}/ready", timeout=5):
            return
        time.sleep(0.05)
    words = served.log.read_text()[-2000:]
    pytest.fail(f"the app was not ready within {START_S:g} s:\n{words}", pytrace=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
