"""`python -m tests.soak_web --sessions 200`: visitors of the whole app, through its web routes, figures as JSON.

They watch films and go in the middle of them, call endpoints, bring what is no picture, talk live, hang up, vanish and
come back. Law: afterwards the app has as many processes, open files and sockets as before, and about as much memory.
Run by `make soak`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from flashtalk.media.audio import read_audio_all
from tests.source import ROOT
from tests.ui.kit import Served, serve
from tests.ui.live_kit import RATE, Address, Talker, talk

FACE, VOICE = ROOT / "assets/portraits/omar.png", ROOT / "assets/speech/english-human-sorry.wav"
TALK_S = 2.5
PATIENCE_S = 120.0
WARM = 24
"""Sessions that fill caches and pools first."""
AT_ONCE = 2
SETTLE_S = 90.0
"""Broken conversations are kept for 30 s, idle connections for less."""
MEMORY_MIB = {"app_mib": 64, "others_mib": 160}
"""What may be more. An engine that rests keeps 140 to 290 MiB, as its last chunks left it, early or late."""
EXACT = ("processes", "files", "sockets", "temporary")
"""Of what there may be nothing more."""


@dataclass(frozen=True)
class Visitor:
    """A browser with a cookie of its own."""

    app: Served
    web: httpx.Client

    def ask(self, path: str, **body: Any) -> httpx.Response:
        """POST; asks again while the app says that this address asks too often."""
        while (answer := self.web.post(path, **body)).status_code == httpx.codes.TOO_MANY_REQUESTS:
            time.sleep(1)
        return answer.raise_for_status()

    def bring(self, path: Path) -> dict[str, Any]:
        """Upload a file; what stands for it in calls."""
        there = self.ask("/gradio_api/upload", files={"files": (path.name, path.read_bytes())}).json()[0]
        return {"path": there, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def call(self, name: str, *values: Any) -> list[Any]:
        """A named endpoint. Raises RuntimeError with its sentence."""
        event = self.ask(f"/gradio_api/call/{name}", json={"data": values}).json()["event_id"]
        with self.web.stream("GET", f"/gradio_api/call/{name}/{event}") as answer:
            lines = [line for line in answer.iter_lines() if line]
        kind, data = lines[-2], lines[-1].removeprefix("data: ")
        if kind != "event: complete":
            raise RuntimeError(data)
        return list(json.loads(data))

    def press(self, element: str) -> Iterator[dict[str, Any]]:
        """What the page hears after a press on the button of this id."""
        page = self.web.get("/config").raise_for_status().json()
        parts = {part["id"]: part["props"] for part in page["components"]}
        function = next(
            one for one in page["dependencies"] for part, _ in one["targets"] if parts[part].get("elem_id") == element
        )
        session = secrets.token_hex(8)
        values = [parts[part].get("value") for part in function["inputs"]]
        self.ask("/gradio_api/queue/join", json={"data": values, "fn_index": function["id"], "session_hash": session})
        data = self.web.stream("GET", "/gradio_api/queue/data", params={"session_hash": session})
        # By the end of this a page says that it left, without which its films stay for as long as uploads.
        with self.web.stream("GET", f"/gradio_api/heartbeat/{session}"), data as answer:
            yield from (json.loads(line[5:]) for line in answer.iter_lines() if line.startswith("data:"))

    def speak(self, act: Callable[[Talker], Awaitable[None]], **hello: object) -> Talker:
        """A live conversation."""
        (opened,) = self.call("open_live", None, "anna", "", "webcodecs")
        words = {name: value for name, value in opened["hello"].items() if name != "type"}
        cookies = "; ".join(f"{name}={value}" for name, value in self.web.cookies.items())
        return talk(Address(urlsplit(self.app.url).port or 0), act, cookies=cookies, **(words | hello))


# What visitors do.


def watch_a_film(visitor: Visitor) -> None:
    told = "".join(json.dumps(message) for message in visitor.press("ft-card-3"))
    assert "Done: " in told, told[-500:]


def leave_a_film(visitor: Visitor) -> None:
    assert any("data-made-s" in json.dumps(message) for message in visitor.press("ft-card-1"))


def order_a_film(visitor: Visitor) -> None:
    files = visitor.bring(FACE), visitor.bring(VOICE)
    film, _, figures = visitor.call("make_film", *files, "", 0, 2, "256x256", "cover", 0.0, True, "", "")
    assert figures["frames"] > 0
    assert len(visitor.web.get(film["url"]).raise_for_status().content) > 1000


def bring_no_picture(visitor: Visitor) -> None:
    files = visitor.bring(VOICE), visitor.bring(FACE)
    try:
        visitor.call("make_film", *files, "", 0, 2, "256x256", "cover", 0.0, True, "", "")
    except RuntimeError:
        return
    raise AssertionError("a sound was taken for a picture")


def look_around(visitor: Visitor) -> None:
    for path in ("/ft/house", "/ready", "/metrics", "/ft/public/static/style.css", "/live/static/player.js"):
        visitor.web.get(path)


def talk_live(visitor: Visitor) -> None:
    assert visitor.speak(_spoken).media


def hang_up(visitor: Visitor) -> None:
    async def act(talker: Talker) -> None:
        await _spoken(talker)
        talker.socket.transport.abort()

    visitor.speak(act)


def lose_the_line_and_come_back(visitor: Visitor) -> None:
    async def lost(talker: Talker) -> None:
        await talker.until(lambda: talker.words("ready"), PATIENCE_S)
        talker.socket.transport.abort()

    key = visitor.speak(lost).words("ready")[0]["key"]
    visitor.speak(_spoken, resume=key)


async def _spoken(talker: Talker) -> None:
    """Until pictures of the speech are there; then good bye."""
    await talker.until(lambda: talker.words("ready"), PATIENCE_S)
    await talker.speak(read_audio_all(VOICE, RATE)[: round(TALK_S * RATE)])
    await talker.until(lambda: talker.media, PATIENCE_S)
    await talker.say("bye")
    await asyncio.sleep(0.1)


KINDS = (
    watch_a_film,
    talk_live,
    leave_a_film,
    order_a_film,
    lose_the_line_and_come_back,
    look_around,
    hang_up,
    bring_no_picture,
)


def visit(app: Served, number: int) -> str:
    """One session; how it went."""
    kind = KINDS[number % len(KINDS)]
    with httpx.Client(base_url=app.url, timeout=PATIENCE_S) as web:
        web.get("/").raise_for_status()
        try:
            kind(Visitor(app, web))
        except Exception as error:
            return f"{kind.__name__}: {type(error).__name__} {error}"[:200]
    return kind.__name__


def visits(app: Served, numbers: range) -> Counter[str]:
    """All of them, some at a time, aloud."""
    ends = Counter[str]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, end in enumerate(pool.map(lambda number: visit(app, number), numbers), 1):
            ends[end] += 1
            if done % WARM == 0:
                sys.stderr.write(f"  {done} of {len(numbers)} sessions\n")
    return ends


# What the app holds.


def held(app: Served, temporary: Path) -> dict[str, float]:
    """Of the app's process and all that it started. kept: films and uploads, which go by their age."""
    ours = psutil.Process(app.app.pid)
    family = [ours, *ours.children(recursive=True)]
    memory = [one.memory_full_info().uss / 2**20 for one in family]
    return {
        "processes": len(family),
        "files": sum(one.num_fds() for one in family),
        "sockets": sum(len(one.net_connections(kind="all")) for one in family),
        "temporary": files_in(temporary),
        "kept": files_in(app.folder) + files_in(app.folder.with_name("cache")),
        "threads": sum(one.num_threads() for one in family),
        "app_mib": round(memory[0], 1),
        "others_mib": round(sum(memory[1:]), 1),
    }


def files_in(folder: Path) -> int:
    """And in all folders below."""
    return sum(one.is_file() for one in folder.rglob("*"))


def settled(app: Served, temporary: Path, before: dict[str, float] | None = None) -> dict[str, float]:
    """What it holds when nobody is there; waits until that is no more than before."""
    ends_s = time.monotonic() + SETTLE_S
    while True:
        idle = "flashtalk_seats_used 0\n" in httpx.get(f"{app.url}/metrics").text
        now = held(app, temporary)
        done = before is not None and idle and is_as_before(grown(before, now))
        if done or time.monotonic() > ends_s:
            return now
        time.sleep(2)


def grown(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: round(now[name] - before[name], 1) for name in before}


def is_as_before(grew: dict[str, float]) -> bool:
    """The law."""
    return all(grew[name] <= 0 for name in EXACT) and all(grew[name] <= most for name, most in MEMORY_MIB.items())


@contextmanager
def own_temporary(folder: Path) -> Iterator[Path]:
    """Where all that we start puts its temporary files."""
    temporary = folder / "tmp"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    yield temporary
    del os.environ["TMPDIR"]


def soak(sessions: int) -> dict[str, Any]:
    """The figures."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        own_temporary(Path(scratch)) as temporary,
        serve(Path(scratch)) as app,
    ):
        visits(app, range(WARM))
        before, began_s = settled(app, temporary), time.monotonic()
        ends = visits(app, range(WARM, WARM + sessions))
        took_s = time.monotonic() - began_s
        after = settled(app, temporary, before)
        log = app.log.read_text(encoding="utf-8")
    names = {kind.__name__ for kind in KINDS}
    grew = grown(before, after)
    return {
        "sessions": sessions,
        "seconds": round(took_s),
        "ends": dict(ends),
        "failed": sum(count for end, count in ends.items() if end not in names),
        "before": before,
        "after": after,
        "grew": grew,
        "tracebacks": log.count("Traceback"),
        "held": is_as_before(grew),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak_web", description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    figures = soak(options.sessions)
    found = json.dumps(figures, indent=1)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(found + "\n", encoding="utf-8")
    print(found)
    raise SystemExit(not figures["held"] or bool(figures["failed"] or figures["tracebacks"]))


if __name__ == "__main__":
    main()
