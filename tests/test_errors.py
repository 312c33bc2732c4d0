"""flashtalk/errors.py: one tree, words for programs, exit statuses for shells."""

from __future__ import annotations

import inspect
import re

import pytest

from flashtalk import errors
from flashtalk.errors import (
    CheckpointError,
    ConfigError,
    EngineError,
    FlashTalkError,
    InputError,
    Overloaded,
    SessionClosed,
    WorkerLost,
)

TREE = {
    FlashTalkError: Exception,
    ConfigError: FlashTalkError,
    InputError: FlashTalkError,
    CheckpointError: FlashTalkError,
    EngineError: FlashTalkError,
    SessionClosed: EngineError,
    WorkerLost: EngineError,
    Overloaded: EngineError,
}
KINDS = (ConfigError, InputError, CheckpointError, EngineError)


def test_tree_is_the_documented_one() -> None:
    defined = {cls for _, cls in inspect.getmembers(errors, inspect.isclass)}
    assert defined == set(TREE)
    assert {cls: cls.__base__ for cls in TREE} == TREE
    drawn = re.findall(r"(?:[├└]── |^)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    assert {cls.__name__ for cls in TREE} <= set(drawn)


def test_codes_tell_all_errors_apart() -> None:
    codes = [cls.code for cls in TREE]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_exit_statuses_tell_the_kinds_apart() -> None:
    statuses = [cls.exit_status for cls in KINDS]
    assert len({0, *statuses, FlashTalkError.exit_status}) == len(statuses) + 2
    # From 64 on, shells and sysexits.h have meanings of their own.
    assert all(0 < status < 64 for status in statuses)


@pytest.mark.parametrize("cls", [SessionClosed, WorkerLost, Overloaded])
def test_engine_errors_share_their_exit_status(cls: type[EngineError]) -> None:
    assert cls.exit_status == EngineError.exit_status


@pytest.mark.parametrize("cls", TREE)
def test_message_and_code(cls: type[FlashTalkError]) -> None:
    assert str(cls("what happened")) == "what happened"
    assert cls("what happened").code == cls.code
    named = cls("what happened", code="too_long")
    assert (named.code, cls.code == "too_long") == ("too_long", False)
    with pytest.raises(FlashTalkError, match="what happened"):
        raise named
