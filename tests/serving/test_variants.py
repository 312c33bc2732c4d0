"""serving/variants.py: other engines of a house start when used, are shared, stop when idle, and hurt nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from flashtalk.config import Config
from flashtalk.config_file import from_tree, to_tree
from flashtalk.errors import CheckpointError, ConfigError, EngineError, InputError
from flashtalk.serving.client import connect
from tests.pipeline.conftest import picture_of, speech
from tests.serving.fakes import FakeHouse, face, film
from tests.serving.test_line import wait_until

VARIANTS = {"other": {"stream.seed": 7, "serving.seats": 2}, "third": {"stream.seed": 8}}


@pytest.fixture(scope="module")
def config(tiny_config: Config) -> Config:
    serving = replace(tiny_config.serving, beat_s=0.02, hang_s=0.6, spare=False, variants=VARIANTS)
    return replace(tiny_config, serving=serving)


@pytest.fixture
def house(config: Config) -> Iterator[FakeHouse]:
    with FakeHouse(config) as house:
        yield house


def test_a_variant_is_its_own_engine_with_its_own_settings(house: FakeHouse) -> None:
    assert house.variants == ("other", "third")
    other = house.variant("other")
    assert other.stream().seed == 7
    assert other.status().state == "asleep"
    assert len(house.engines) == 1
    film(other, 5)
    assert [engine.config.stream.seed for engine in house.engines] == [0, 7]
    assert other.info.model == "fake"
    assert other.status().seats_free + other.status().seats_used == 2
    assert "chunk" not in house.status().counts


def test_an_unknown_variant_is_refused_with_the_known(house: FakeHouse) -> None:
    with pytest.raises(InputError, match="other, third") as refusal:
        house.variant("no")
    assert refusal.value.code == "variant"
    with pytest.raises(InputError):
        house.variant("other").variant("third")
    assert house.variant("other").variants == ()


def test_visitors_share_a_variant_and_none_can_close_it(house: FakeHouse) -> None:
    threads = [threading.Thread(target=film, args=(house.variant("other"), stamp)) for stamp in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with house.variant("other") as other, other.open(face(4)):
        house.variant("other").close()
        film(other, 5)
    assert len(house.engines) == 2


def test_in_a_variant_too_a_stream_may_have_the_seat_of_another(config: Config) -> None:
    changes = {"stream.seed": 7, "serving.seats": 1, "serving.line": 0}
    with FakeHouse(replace(config, serving=replace(config.serving, variants={"other": changes}))) as house:
        other = house.variant("other")
        with other.open(face(1)) as first, other.open(face(2), instead=first):
            assert other.status().seats_used == 1


def test_an_idle_variant_ends_and_comes_back(config: Config) -> None:
    serving = replace(config.serving, variant_idle_s=0.2)
    with FakeHouse(replace(config, serving=serving)) as house:
        other = house.variant("other")
        with other.open(face(1)):
            began_s = time.monotonic()
            wait_until(lambda: time.monotonic() - began_s > 0.6)
            assert other.status().ready
        wait_until(lambda: other.status().state == "asleep")
        film(other, 2)
        assert len(house.engines) == 3
        assert house.status().generation == 1


def test_a_variant_that_is_lost_leaves_the_house_ready(house: FakeHouse) -> None:
    with house.open(face(1)), house.variant("other").open(face(2)):
        house.broken = True
        house.kill(0)  # the ranks that were made last: the variant's
        wait_until(lambda: not house.variant("other").status().ready)
        assert house.status().ready
        assert not house.status().variants["other"].ready
        house.broken = False


def test_a_variant_that_cannot_start_says_why_and_may_be_tried_again(house: FakeHouse) -> None:
    house.broken = True
    with pytest.raises(CheckpointError, match="no weights"):
        house.variant("other").open(face(1))
    assert house.variant("other").status().state == "asleep"
    house.broken = False
    film(house.variant("other"), 1)


def test_a_variant_that_broke_down_by_a_fault_of_ours_is_started_anew(
    house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object) -> None:
        raise ValueError("nobody thought of this")

    other = house.variant("other")
    with other.open(face(1)):
        monkeypatch.setattr(other._house._supervisor, "_waited", fail)  # type: ignore[attr-defined]
        wait_until(lambda: other.status().state == "asleep")
    film(other, 2)
    assert (len(house.engines), house.status().generation) == (3, 1)


def test_variants_end_with_their_house(config: Config) -> None:
    before = threading.active_count()
    with FakeHouse(config) as house:
        film(house.variant("other"), 1)
        other = house.variant("other")
    with pytest.raises(EngineError, match="closed"):
        other.open(face(1))
    assert other.status().state == "closed"
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ({"stream.stepz": 2}, "stream.steps"),
        ({"stream.steps": 3}, "distilled"),
        ({"serving.variants": {}}, "no variants"),
        (7, "a mapping"),
    ],
)
def test_a_variant_that_cannot_work_is_refused_at_load(config: Config, variant: object, words: str) -> None:
    tree = to_tree(config)
    tree["serving"]["variants"] = {"mine": variant}
    with pytest.raises(ConfigError, match=words) as refusal:
        from_tree(Config, tree)
    assert "serving.variants.mine" in str(refusal.value)


def test_a_variant_runs_in_processes_of_its_own(tiny_config: Config) -> None:
    serving = replace(tiny_config.serving, spare=False, variants={"two steps": {"stream.steps": 2}})
    runtime, children = replace(tiny_config.runtime, threads=1), psutil.Process().children
    before = {child.pid for child in children()}
    with connect(replace(tiny_config, serving=serving, runtime=runtime)) as house:
        with house.variant("two steps").open(picture_of(1)) as seat:
            seat.feed(speech(28 * 640))
            assert seat.config.steps == 2
            assert seat.next(60.0)
        assert len({child.pid for child in children()} - before) == 2
    assert {child.pid for child in children()} <= before
