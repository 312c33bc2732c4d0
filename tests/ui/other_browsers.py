"""Firefox and WebKit (the engine of Safari) driven without a package: for tests/soak_browsers.py.

Debian: firefox-esr; webkit2gtk-driver, xvfb, gstreamer1.0-libav, gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad;
pulseaudio, without which Firefox finds no loudspeaker and does not talk live.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError

from tests.ui.kit import free_port

Value = TypeVar("Value")

PATIENCE_S = 60.0
LOOK_S = 0.1
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
SCRIPT = """const done = arguments[arguments.length - 1], refuse = (error) => done({{ error: String(error) }});
(async () => {{ {} }})().then((value) => done({{ value: value ?? null }}), refuse);"""
PREFERENCES: dict[str, object] = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "intl.accept_languages": "en-US,en",
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
}
COMPLAINTS = """const storage = Cc["@mozilla.org/consoleAPI-storage;1"].getService(Ci.nsIConsoleAPIStorage);
const errors = Services.console.getMessageArray().filter((one) => one instanceof Ci.nsIScriptError && !(one.flags & 1));
const told = storage.getEvents().filter((one) => one.level === "error");
const said = told.map((one) => [one.filename, one.arguments.join(" ")]);
Services.console.reset();
storage.clearEvents();
const all = [...errors.map((one) => [one.sourceName, one.errorMessage]), ...said];
return all.filter(([where]) => where.includes("127.0.0.1")).map((one) => one.join(": "));"""
WEBKIT_FLAGS = (
    "--automation",
    "--autoplay-policy=allow-without-sound",  # as in Safari
    "--enable-media-stream=true",
    "--enable-mock-capture-devices=true",
    "--enable-write-console-messages-to-stdout=true",
)


class Refused(Exception):
    """What the browser said to a command."""


class Browser(ABC):
    """One window."""

    @abstractmethod
    def open(self, address: str) -> None:
        """Load a page."""

    @abstractmethod
    def click(self, css: str) -> None:
        """Press an element as a hand does."""

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Of what lies around the page as well."""

    @abstractmethod
    def picture(self) -> bytes:
        """What is seen, as PNG."""

    @abstractmethod
    def complaints(self) -> list[str]:
        """Errors in the console since the last time."""

    @abstractmethod
    def _run(self, script: str) -> dict[str, Any]:
        """Run a script that calls its last argument when it is done."""

    def evaluate(self, body: str) -> Any:
        """What the body of an async function returns. Raises Refused."""
        answer = self._run(SCRIPT.format(body))
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["value"]

    def wait(self, expression: str, patience_s: float = PATIENCE_S) -> Any:
        """Until it is true. Raises Refused."""
        until_s = time.monotonic() + patience_s
        while not (value := self.evaluate(f"return {expression}")):
            if time.monotonic() > until_s:
                raise Refused(f"not within {patience_s:g} s: {expression}")
            time.sleep(LOOK_S)
        return value

    def set_page(self, width: int, height: int) -> None:
        """The page's own size in CSS pixels; a window may not become as narrow as that."""
        for _ in range(3):
            around = self.evaluate("return [outerWidth - innerWidth, outerHeight - innerHeight]")
            self.resize(width + around[0], height + around[1])
            time.sleep(LOOK_S)


class Firefox(Browser):
    """Through its remote protocol, Marionette: each message is its length, a colon and JSON."""

    def __init__(self, port: int) -> None:
        self._socket = reached(lambda: socket.create_connection(("127.0.0.1", port), timeout=10 * PATIENCE_S))
        self._pipe = self._socket.makefile("rwb")
        self._number = 0
        self._read()
        self._ask("WebDriver:NewSession", capabilities={})
        self._ask("WebDriver:SetTimeouts", script=10 * PATIENCE_S * 1000)

    def open(self, address: str) -> None:
        self._ask("WebDriver:Navigate", url=address)

    def click(self, css: str) -> None:
        found = self._ask("WebDriver:FindElement", using="css selector", value=css)
        self._ask("WebDriver:ElementClick", id=found["value"][ELEMENT])

    def resize(self, width: int, height: int) -> None:
        self._chrome("document.documentElement.style.minWidth = document.documentElement.style.minHeight = 0")
        self._ask("WebDriver:SetWindowRect", width=width, height=height)

    def picture(self) -> bytes:
        return base64.b64decode(self._ask("WebDriver:TakeScreenshot", full=False)["value"])

    def complaints(self) -> list[str]:
        return list(self._chrome(COMPLAINTS))

    def _run(self, script: str) -> dict[str, Any]:
        answer = self._ask("WebDriver:ExecuteAsyncScript", script=script, args=[], sandbox=None)
        return dict(answer["value"])

    def _chrome(self, script: str) -> Any:
        """In the browser's own page."""
        self._ask("Marionette:SetContext", value="chrome")
        try:
            return self._ask("WebDriver:ExecuteScript", script=script, args=[])["value"]
        finally:
            self._ask("Marionette:SetContext", value="content")

    def _ask(self, name: str, **values: object) -> dict[str, Any]:
        self._number += 1
        message = json.dumps([0, self._number, name, values]).encode()
        self._pipe.write(f"{len(message)}:".encode() + message)
        self._pipe.flush()
        _kind, _number, error, answer = self._read()
        if error:
            raise Refused(f"{name}: {error['message']}")
        return dict(answer or {})

    def _read(self) -> Any:
        size = b""
        while not size.endswith(b":"):
            size += self._pipe.read(1) or b":"
        return json.loads(self._pipe.read(int(size[:-1])))


class WebKit(Browser):
    """Through WebKitWebDriver, which speaks W3C WebDriver over HTTP. `log`: what the browser prints."""

    def __init__(self, port: int, log: Path) -> None:
        self._address, self._log, self._read = f"http://127.0.0.1:{port}", log, 0
        reached(lambda: self._ask("GET", "/status"))
        options = {"binary": str(minibrowser()), "args": list(WEBKIT_FLAGS)}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        self._address += f"/session/{self._ask('POST', '/session', wanted)['sessionId']}"
        self._ask("POST", "/timeouts", {"script": 10 * PATIENCE_S * 1000})

    def open(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def click(self, css: str) -> None:
        found = self._ask("POST", "/element", {"using": "css selector", "value": css})
        self._ask("POST", f"/element/{found[ELEMENT]}/click", {})

    def resize(self, width: int, height: int) -> None:
        self._ask("POST", "/window/rect", {"width": width, "height": height})

    def picture(self) -> bytes:
        return base64.b64decode(self._ask("GET", "/screenshot"))

    def complaints(self) -> list[str]:
        printed = self._log.read_text(errors="replace")
        fresh, self._read = printed[self._read :], len(printed)
        return [line for line in fresh.splitlines() if line.startswith("CONSOLE") and " ERROR " in line]

    def close(self) -> None:
        """Ends the window."""
        self._ask("DELETE", "")

    def _run(self, script: str) -> dict[str, Any]:
        return dict(self._ask("POST", "/execute/async", {"script": script, "args": []}))

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self._address + path, data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=10 * PATIENCE_S) as answer:
                return json.load(answer)["value"]
        except HTTPError as error:
            raise Refused(error.read().decode(errors="replace")) from None


def minibrowser() -> Path | None:
    """The window of WebKitWebDriver; no path leads to it."""
    return next(Path("/usr").glob("lib*/**/webkit2gtk-4.*/MiniBrowser"), None)


def missing(name: str) -> str | None:
    """The program that `name` (firefox, webkit) lacks here; None if it can be driven."""
    wanted = {"firefox": ["firefox-esr"], "webkit": ["WebKitWebDriver", "Xvfb"]}[name]
    lacks = [program for program in wanted if shutil.which(program) is None]
    if name == "webkit" and minibrowser() is None:
        lacks.append("MiniBrowser")
    return ", ".join(lacks) or None


@contextlib.contextmanager
def browser(name: str, folder: Path) -> Iterator[Browser]:
    """A browser with a microphone that hums, and a loudspeaker if there is a program to make one."""
    start = {"firefox": firefox, "webkit": webkit}[name]
    with loudspeaker(folder) as sound, start(folder, os.environ | sound) as found:
        yield found


@contextlib.contextmanager
def firefox(folder: Path, environment: dict[str, str]) -> Iterator[Firefox]:
    profile, port = folder / "profile", free_port()
    profile.mkdir()
    wishes = PREFERENCES | {"marionette.port": port}
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in wishes.items()]
    (profile / "user.js").write_text("".join(lines))
    flags = ["--headless", "--marionette", "-remote-allow-system-access", "--profile", str(profile)]
    with running(["firefox-esr", *flags], folder / "firefox.log", environment):
        yield Firefox(port)


@contextlib.contextmanager
def webkit(folder: Path, environment: dict[str, str]) -> Iterator[WebKit]:
    port, log, (reads, writes) = free_port(), folder / "webkit.log", os.pipe()
    screen = ["Xvfb", "-displayfd", str(writes), "-screen", "0", "1400x1100x24"]
    with running(screen, folder / "screen.log", environment, keep=writes), os.fdopen(reads) as said:
        there = environment | {"DISPLAY": f":{said.readline().strip()}", "NO_AT_BRIDGE": "1", "LANG": "en_US.UTF-8"}
        with running(["WebKitWebDriver", f"--port={port}"], log, there):
            found = WebKit(port, log)
            yield found
            found.close()


@contextlib.contextmanager
def loudspeaker(folder: Path) -> Iterator[dict[str, str]]:
    """A sound server that nobody hears; the environment that leads to it, empty without pulseaudio."""
    program, door = shutil.which("pulseaudio"), folder / "sound"
    if program is None:
        yield {}
        return
    loads = ("module-null-sink norewinds=1", f"module-native-protocol-unix socket={door} auth-anonymous=1")
    options = ["-n", "--daemonize=no", "--exit-idle-time=-1", *(f"--load={module}" for module in loads)]
    with running([program, *options], folder / "sound.log", os.environ | {"XDG_RUNTIME_DIR": str(folder)}):
        yield {"PULSE_SERVER": f"unix:{door}"}


@contextlib.contextmanager
def running(command: list[str], log: Path, environment: dict[str, str], keep: int | None = None) -> Iterator[None]:
    """A program for the while; `keep`: a pipe's end that it takes over."""
    kept = () if keep is None else (keep,)
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=output, pass_fds=kept) as program,
    ):
        if keep is not None:
            os.close(keep)
        try:
            yield
        finally:
            program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(10)
            program.kill()


def reached(call: Callable[[], Value]) -> Value:
    """Its answer, as soon as somebody listens there."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(LOOK_S)
