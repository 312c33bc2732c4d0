"""What the house does when an engine, the machine or the house itself fails again and again, or in unusual ways."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from flashtalk.config import Config
from flashtalk.parallel.groups import Place
from flashtalk.serving import supervisor
from tests.serving.fakes import FakeEngine, FakeHouse
from tests.serving.test_line import wait_until

SOON_S = 20.0


@pytest.fixture(scope="module")
def config(tiny_config: Config) -> Config:
    return replace(
        tiny_config, serving=replace(tiny_config.serving, beat_s=0.02, hang_s=0.6, wait_s=SOON_S, spare=False)
    )


def with_serving(config: Config, **serving: object) -> Config:
    return replace(config, serving=replace(config.serving, **serving))  # type: ignore[arg-type]


def test_engines_that_all_fail_their_check_are_not_started_without_a_pause(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SickHouse(FakeHouse):
        def _build(self, config: Config, place: Place) -> FakeEngine:
            engine = super()._build(config, place)
            engine.ails = "breaks"
            return engine

    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.0, 0.0, SOON_S))
    with SickHouse(with_serving(config, canary_s=0.05, warm_up=False)) as house:
        wait_until(lambda: house.status().counts.get("wrong") == 2)
        time.sleep(0.3)
        assert house.status().generation == 2
