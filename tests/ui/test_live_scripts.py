"""The live page's players and sound in node, without a browser: what a new stream leaves alone, what an end ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flashtalk.ui.live.route import STATIC
from tests.ui.live_twin import node

PLAYERS = ("webcodecs", "mse")


def played(*acts: list[Any]) -> list[Any]:
    """What each act gave; see live_parts.mjs."""
    asked = json.dumps({"folder": str(STATIC), "acts": acts})
    program = Path(__file__).with_name("live_parts.mjs")
    done = subprocess.run([node(), str(program)], input=asked, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def begun(player: str, *acts: list[Any]) -> dict[str, Any]:
    """What the last beginning does to a player that has the seconds 0 to 2 of its first stream."""
    first = ["begin", 1, 0.0, "open"], ["take", 1, 0.0], ["take", 1, 1.0]
    return dict(played([player], *first, *acts)[-1])


@pytest.mark.parametrize("player", PLAYERS)
def test_a_cheaper_stream_leaves_what_was_said_before_it_to_be_heard_and_seen(player: str) -> None:
    told = begun(player, ["begin", 2, 2.0, "open"])
    assert told["told"] == []
    if player == "webcodecs":
        assert (told["waiting"], told["decoders"]) == (50, 0), "pictures that wait need the ones before them"


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize(("at_s", "reason"), [(0.0, "open"), (2.0, "resume")])
def test_a_new_conversation_and_one_that_slept_begin_from_nothing(player: str, at_s: float, reason: str) -> None:
    told = begun(player, ["begin", 1, at_s, reason])
    assert told["told"] == [["restart", at_s]]
    assert not told.get("waiting")


def test_seconds_that_were_lost_on_the_way_are_not_played_as_silence() -> None:
    assert begun("webcodecs", ["begin", 2, 7.0, "open"])["told"] == [["restart", 7.0]]


@pytest.mark.parametrize("player", PLAYERS)
def test_after_an_interrupt_what_lies_before_it_plays_on(player: str) -> None:
    told = begun(player, ["begin", 2, 1.0, "interrupt"])
    assert told["told"] == []
    after = begun(player, ["begin", 2, 1.0, "interrupt"], ["take", 2, 1.0], ["begin", 3, 2.0, "open"])
    assert after["told"] == []


@pytest.mark.parametrize("player", PLAYERS)
def test_what_comes_too_late_to_be_played_is_acknowledged(player: str) -> None:
    """The answer to an interrupt comes behind it, and only to a page that takes what is on its way."""
    first = ["begin", 1, 0.0, "open"], ["take", 1, 0.0]
    *_, before_s, _, _, after_s = played([player], *first, ["received"], ["cut", 1.0], ["take", 1, 1.0], ["received"])
    assert after_s >= before_s + 0.99


def test_the_sound_of_a_conversation_ends_with_it() -> None:
    """A processor that does not say so is called for ever, for each conversation that there was."""
    [[during, after]] = played(["converse"])
    assert during == [True, True]
    assert after == [False, False]


def visited(*deeds: str) -> dict[str, Any]:
    """What the microphone tab shows after all that, such as "press start"; see live_parts.mjs."""
    return dict(played(["visit", *(deed.split() for deed in deeds)])[0])


def test_an_old_answer_about_the_microphone_does_not_end_the_next_talk() -> None:
    told = visited("press start", "choose another", "press sample", "refuse NotAllowedError")
    assert (told["talks"], told["state"], told["words"]) == (True, "live", "connecting")


def test_after_a_question_that_nobody_answers_one_can_start_again() -> None:
    again = visited("press start", "choose another", "press start", "refuse NotAllowedError", "refuse NotFoundError")
    assert (again["talks"], again["state"], again["words"]) == (False, "failed", "no_microphone")


@pytest.mark.parametrize("state", ["lost", "connecting"])
def test_while_the_line_is_lost_nobody_is_asked_to_speak(state: str) -> None:
    assert visited("press sample", "notice resumed", "wait now")["words"] == "talking"
    assert visited("press sample", "notice resumed", f"state {state}", "wait now")["words"] == state


@pytest.mark.parametrize("part", ["capture", "playback"])
def test_sound_that_could_not_be_loaded_leaves_nothing_running(part: str) -> None:
    told = visited(f"lose {part}", "press sample", "press sample")
    assert (told["contexts"], told["state"], told["words"]) == (["closed", "closed"], "failed", "player")
