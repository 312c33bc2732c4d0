"""Several visitors on one page: all know where they stand, and nobody takes the line from the others."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.ui.live_kit import wait_until
from tests.ui.page_kit import Page, Visitor, busy_page

SEATS, LINE = 4, 16
CARD = "ft-card-0"
CHUNK_S = 0.15
AT_ONCE = 3
CALLS = 40


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with busy_page(tmp_path, CHUNK_S, **{"serving.seats": SEATS, "serving.line": LINE}) as opened:
        yield opened


def press(page: Page, said: list[str]) -> None:
    """A visitor who presses a card and watches its film; `said` grows with what the page tells."""
    with page.visitor() as visitor:
        card = page.function(CARD)
        visitor.ask(card, visitor.inputs(card)).raise_for_status()
        said.extend(str(message) for message in visitor.told())


def is_made(said: list[str]) -> bool:
    return any("Save the film" in message for message in said)


def test_the_third_on_one_card_is_seated_and_the_fifth_knows_the_place(page: Page) -> None:
    """Of as many as have seats, and two more."""
    visitors: list[list[str]] = [[] for _ in range(SEATS + 2)]
    with ThreadPoolExecutor(len(visitors)) as pool:
        films = [pool.submit(press, page, said) for said in visitors]
        wait_until(lambda: page.house.status().seats_used == SEATS, 20)
        wait_until(lambda: page.house.status().queue_length == 2, 20)
        for film in films:
            film.result(60)
    assert all(is_made(said) for said in visitors)
    places = [re.findall(r"Your place in line: (\d+)", " ".join(said)) for said in visitors]
    assert sorted(told[0] for told in places if told) == ["1", "2"]


@pytest.mark.parametrize("cookie", [True, False], ids=["a browser", "programs without a cookie"])
def test_one_who_asks_for_forty_films_keeps_nobody_out(page: Page, cookie: bool) -> None:
    call = page.function("make_film")
    with page.visitor(cookie=cookie) as greedy, ThreadPoolExecutor(CALLS) as pool:
        usual = greedy.inputs(call)
        films = [pool.submit(made, greedy, "make_film", [*usual[:3], seed, *usual[4:]]) for seed in range(CALLS)]
        wait_until(lambda: page.house.status().seats_used == AT_ONCE, 20)
        said = list[str]()
        neighbour = threading.Thread(target=press, args=(page, said))
        neighbour.start()
        wait_until(lambda: page.house.status().seats_used > AT_ONCE, 5)
        most = max(watched(page, neighbour))
        answers = [film.result(60) for film in films]
    assert is_made(said), said
    assert most <= AT_ONCE + 1
    refused = [answer for answer in answers if "the most allowed" in answer]
    assert any(f"{AT_ONCE} films waiting or being made" in answer for answer in refused)
    assert len(refused) >= CALLS - 4 * AT_ONCE
    assert all("film.mp4" in answer for answer in answers if answer not in refused)
    assert sum("film.mp4" in answer for answer in answers) >= AT_ONCE


def made(visitor: Visitor, name: str, values: list[Any]) -> str:
    """As programs call: each call is a session of its own, which the server makes up."""
    begun = visitor.web.post(f"/gradio_api/call/{name}", json={"data": values})
    if begun.is_error:
        return begun.text
    return visitor.web.get(f"/gradio_api/call/{name}/{begun.json()['event_id']}").text


def watched(page: Page, while_alive: threading.Thread) -> Iterator[int]:
    """Seats taken, again and again."""
    while while_alive.is_alive():
        yield page.house.status().seats_used
        time.sleep(0.02)
