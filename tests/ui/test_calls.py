"""Calls that wait, whatever for, do not take all threads from the calls of others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

from flashtalk.config_app import UiConfig
from flashtalk.ui.live.portraits import Portraits
from tests.ui.live_kit import wait_until
from tests.ui.page_kit import Page, Visitor, busy_page

MOST = UiConfig.calls_per_visitor
CALL = [None, "omar", "", "webcodecs"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with busy_page(tmp_path_factory.mktemp("calls")) as opened:
        yield opened


@contextmanager
def waiting_calls() -> Iterator[list[str]]:
    """Inside, calls of open_live wait; one entry for each."""
    begun, go_on = list[str](), threading.Event()

    def wait(_self: Portraits, name: str, _owner: str) -> None:
        begun.append(name)
        go_on.wait(60)

    with mock.patch.object(Portraits, "find", wait):
        try:
            yield begun
        finally:
            go_on.set()


def call(visitor: Visitor) -> None:
    assert visitor.ask(visitor.page.function("open_live"), CALL).status_code == 200


def test_who_has_many_calls_under_way_is_refused_one_more_and_nobody_else_is(page: Page) -> None:
    with page.visitor() as greedy, page.visitor() as other:
        with waiting_calls() as begun:
            for _ in range(MOST):
                call(greedy)
            wait_until(lambda: len(begun) == MOST, 20)
            call(greedy)
            call(other)
            wait_until(lambda: len(begun) == MOST + 1, 20)
        told = str(list(greedy.told()))
        assert told.count("the most allowed") == 1, told
        assert f"You have {MOST} requests under way" in told
        assert "the most allowed" not in str(list(other.told()))
        assert "the most allowed" not in greedy.call(page.function("open_live"), CALL)
