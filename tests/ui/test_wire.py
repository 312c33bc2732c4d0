"""The live page's line in node, without a browser: how it comes back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from flashtalk.ui.live.route import STATIC
from tests.ui.live_twin import node


def line(
    opens: list[int | None], until_s: float, dismissed_ms: int | None = None, welcome: dict[str, Any] | None = None
) -> dict[str, Any]:
    """See wire_script.mjs."""
    times = {"opens": opens, "until_ms": 1000 * until_s, "dismissed_ms": dismissed_ms}
    asked = json.dumps({"script": str(STATIC / "wire.js"), "welcome": welcome, **times})
    program = Path(__file__).with_name("wire_script.mjs")
    done = subprocess.run([node(), str(program)], input=asked, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_try_that_hangs_is_given_up_for_the_next_one_and_all_of_them_after_half_a_minute() -> None:
    """A telephone between two networks: its browser would wait for minutes, the server for thirty seconds."""
    told = line([100], 60)  # this one opens, falls silent, and no other opens
    lost_ms = told["sockets"][1]
    assert 6000 <= lost_ms <= 9000
    tries = [at for at in told["sockets"][1:] if at < lost_ms + 30_000]
    assert len(tries) >= 4
    assert told["states"][-1][1] == "over"
    assert lost_ms + 28_000 < told["states"][-1][0] < lost_ms + 40_000


def test_a_network_that_is_there_again_is_found() -> None:
    told = line([100, None, None, 500], 40)
    assert [name for _, name in told["states"] if name == "open"][:2] == ["open", "open"]


def test_a_conversation_that_sends_the_page_away_each_time_is_left_in_peace_and_given_up() -> None:
    told = line([100] * 200, 60, dismissed_ms=50)
    tries = told["sockets"]
    assert len(tries) < 20
    assert tries[-1] - tries[-2] >= 2500, "each try waits longer than the one before"
    assert told["states"][-1][1] == "over"
    assert told["states"][-1][0] < 40_000


def test_a_page_that_waits_in_line_comes_back_to_its_place() -> None:
    told = line([100, 100], 10, welcome={"type": "place", "place": 3, "key": "its own"})
    assert told["resumes"] == ["", "its own"]
