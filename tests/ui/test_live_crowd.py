"""Who asks for one conversation too many is refused, and nobody else: counted by browser and by address."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import websockets

from flashtalk.config_app import LiveConfig
from flashtalk.errors import EngineError, Overloaded, SessionClosed
from flashtalk.ui.browsers import Asker
from flashtalk.ui.live.outbox import Outbox
from flashtalk.ui.live.pace import Pace
from flashtalk.ui.live.pictures import FramePacker
from flashtalk.ui.live.session import LiveSession, Visitor
from flashtalk.ui.live.sessions import LiveSessions
from flashtalk.ui.why import CHINESE
from tests.ui.live_kit import wait_until
from tests.ui.page_kit import Page, busy_page
from tests.ui.page_kit import Visitor as Browser

ABOUT = Visitor(np.full((64, 64, 3), 128, np.uint8))
MOST = LiveConfig.per_visitor
WINDOW = {"window_s": 1.0, "late_s": 1.0}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with busy_page(tmp_path_factory.mktemp("live"), 0.15, **{"serving.seats": 8}) as opened:
        yield opened


@pytest.fixture
def sessions(page: Page) -> Iterator[LiveSessions]:
    opened = LiveSessions(page.house, LiveConfig(per_visitor=2, per_address=3))
    yield opened
    opened.close()


def heard(session: LiveSession) -> LiveSession:
    """With a browser that listens."""
    session.attach(Outbox(asyncio.new_event_loop(), **WINDOW), FramePacker)
    wait_until(lambda: session._outbox is not None, 5)
    return session


def test_one_more_conversation_of_a_visitor_is_refused_and_not_that_of_another(sessions: LiveSessions) -> None:
    anna = Asker("anna")
    first, _second = [heard(sessions.open(ABOUT, f"page {number}", anna)) for number in range(2)]
    with pytest.raises(Overloaded, match="You have 2 live conversations") as refused:
        sessions.open(ABOUT, "page 2", anna)
    assert refused.value.code in CHINESE
    heard(sessions.open(ABOUT, "page 3", Asker("bruno")))
    assert sessions.find(first.key, "page 0") is first, "to come back is no new one"
    sessions.open(ABOUT, "page 1", anna)
    assert sessions.count == 3, "a page's next conversation takes the place of the one before"


def test_an_address_has_an_end_too_but_not_one_that_many_share_unknown(sessions: LiveSessions) -> None:
    for number in range(3):
        heard(sessions.open(ABOUT, f"page {number}", Asker(f"visitor {number}", "home")))
    with pytest.raises(Overloaded, match="Your address has 3 live conversations"):
        sessions.open(ABOUT, "page 3", Asker("visitor 3", "home"))
    for number in range(4, 8):
        sessions.open(ABOUT, f"page {number}", Asker(f"visitor {number}"))


def test_a_conversation_that_waits_for_a_page_that_was_loaded_anew_gives_way(sessions: LiveSessions) -> None:
    anna = Asker("anna")
    stays, left = [heard(sessions.open(ABOUT, f"page {number}", anna)) for number in range(2)]
    assert left._outbox is not None
    left.detach(left._outbox)
    wait_until(lambda: left.alone, 5)
    sessions.open(ABOUT, "page 2", anna)
    assert left.ended
    assert not stays.ended


async def first_words(page: Page, who: list[Browser]) -> list[dict[str, Any]]:
    """What each hears first, all of them staying."""
    told = []
    async with AsyncExitStack() as sockets:
        for number, visitor in enumerate(who):
            function = page.function("open_live")
            window = replace(visitor, session=f"{visitor.session}{number}")
            values = [None, "omar", "", "webcodecs"]
            said = await asyncio.to_thread(window.call, function, values)
            hello = re.search(r'"hello": (\{[^{}]*\})', said)
            assert hello, said
            cookies = "; ".join(f"{one.name}={one.value}" for one in visitor.web.cookies.jar)
            address = f"ws{page.address[4:]}/live/socket"
            socket = await sockets.enter_async_context(
                websockets.connect(address, additional_headers={"cookie": cookies})
            )
            await socket.send(hello[1])
            told.append(json.loads(await asyncio.wait_for(socket.recv(), 20)))
    return told


def test_the_socket_counts_by_the_browsers_cookie(page: Page) -> None:
    with page.visitor() as greedy, page.visitor() as other:
        told = asyncio.run(first_words(page, [greedy] * (MOST + 1) + [other]))
    assert [one.get("code") for one in told] == [None] * MOST + ["live_enough", None], told


def test_who_leaves_the_line_gives_up_the_place_and_who_comes_back_to_it_is_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whoever starts and stops while the house is full would fill the line with nobody."""
    with (
        busy_page(tmp_path_factory.mktemp("line"), 0.05, **{"serving.seats": 1}) as page,
        page.house.open(ABOUT.portrait_HWC),
        closing(LiveSessions(page.house, LiveConfig(per_visitor=2, keep_s=1.0))) as sessions,
    ):

        def in_line(number: int) -> None:
            wait_until(lambda: page.house.status().queue_length == number, 5)

        left = heard(sessions.open(ABOUT, "page 0", Asker("anna")))
        in_line(1)
        left.close()
        in_line(0)
        returned, box = sessions.open(ABOUT, "page 1", Asker("anna")), Outbox(asyncio.new_event_loop(), **WINDOW)
        heard(returned)
        in_line(1)
        returned.attach(box, FramePacker)
        wait_until(lambda: any('"type":"place","place":1' in str(one.data) for one in box._waiting), 5)
        returned.detach(box)
        in_line(0)
        wait_until(lambda: returned.ended, 5)


def test_who_comes_back_in_the_last_moment_is_heard(page: Page) -> None:
    """The grace ends while the browser's order lies there and nobody has looked at it yet."""
    sessions = LiveSessions(page.house, LiveConfig(keep_s=0.3))
    session, box = heard(sessions.open(ABOUT, "page", Asker("anna"))), Outbox(asyncio.new_event_loop(), **WINDOW)

    class Woken(threading.Event):
        came = False

        def wait(self, _timeout_s: float | None = None) -> bool:
            time.sleep(0.4)
            if not self.came:
                session.attach(box, FramePacker)
            self.came = True
            return True

    session._woken = Woken()
    assert session._outbox is not None
    session.detach(session._outbox)
    wait_until(lambda: session._outbox is box or box._closed or session.ended, 5)
    assert not session.ended
    assert session._outbox is box
    sessions.close()


def test_who_comes_back_to_a_conversation_that_ends_is_told_so() -> None:
    """Before and after its thread looked at its orders for the last time."""
    opening, go = threading.Event(), threading.Event()

    class Client:
        def open(self, *_: object, **__: object) -> None:
            opening.set()
            go.wait(5)
            raise SessionClosed("enough")

    first, before, after = (Outbox(asyncio.new_event_loop(), **WINDOW) for _ in range(3))
    session = LiveSession(Client(), LiveConfig(), Pace([{}]), ABOUT)  # type: ignore[arg-type]
    session.attach(first, FramePacker)
    assert opening.wait(5)
    session.attach(before, FramePacker)
    go.set()
    assert session.join(5)
    session.attach(after, FramePacker)
    assert [box._closed for box in (first, before, after)] == [True] * 3


def test_no_seat_is_held_for_pictures_that_cannot_be_packed(page: Page) -> None:
    def make_packer(*_: object) -> FramePacker:
        raise EngineError("no encoder today", code="encode")

    session = LiveSession(page.house, LiveConfig(), Pace([{}]), ABOUT)
    used = page.house.status().seats_used
    told = Outbox(asyncio.new_event_loop(), **WINDOW)
    session.attach(told, make_packer)
    assert session.join(5)
    assert [json.loads(str(one.data))["code"] for one in told._waiting] == ["encode"]
    wait_until(lambda: page.house.status().seats_used == used, 3)


def test_a_program_is_told_what_keeps_the_pictures_coming(page: Page) -> None:
    with page.visitor() as visitor:
        said = visitor.call(page.function("open_live"), [None, "omar", "", "webcodecs"])
    found = re.search(r'"layout": (\{(?:[^{}]|\{[^{}]*\})*\})', said)
    assert found, said
    layout = json.loads(found[1])
    assert "{type: report, received_s:" in layout["report"]
    assert f" {LiveConfig.max_unsent_s:g} s " in layout["report"]
    assert "{type: ping, at:" in layout["ping"]
    assert f" {LiveConfig.vanish_s:g} s" in layout["ping"]


def test_who_interrupts_without_end_ends_all_the_same(page: Page) -> None:
    sessions = LiveSessions(page.house, LiveConfig(max_session_s=1.0))
    session = heard(sessions.open(ABOUT, "page", Asker("anna")))

    def spoken_over() -> bool:
        for _ in range(200):
            session.interrupt(0)
        return session.ended

    wait_until(spoken_over, 5)
    sessions.close()


def test_who_waits_for_an_engine_that_starts_again_is_told_of_no_line() -> None:
    told = Outbox(asyncio.new_event_loop(), **WINDOW)

    class Client:
        def status(self) -> SimpleNamespace:
            return SimpleNamespace(ready=False)

        def open(self, *_: object, on_place: Callable[[int], None], **__: object) -> None:
            on_place(1)
            raise SessionClosed("enough")

    session = LiveSession(Client(), LiveConfig(), Pace([{}]), ABOUT)  # type: ignore[arg-type]
    session.attach(told, FramePacker)
    assert session.join(5)
    kinds = [json.loads(str(one.data))["type"] for one in told._waiting]
    assert kinds == ["notice", "error"]
