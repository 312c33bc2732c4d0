"""serving/health.py: probes tell the truth that the status tells, and metrics can be scraped."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from flashtalk.serving.health import live, metrics, ready
from flashtalk.serving.protocol import ServiceStatus

WELL = ServiceStatus(
    ready=True,
    state="ready",
    seats_used=1,
    seats_free=3,
    queue_length=2,
    restarts=1,
    generation=2,
    progress_age_s=0.2,
    counts={"chunk": 7, "frames": 196, "opens": 2, "hung": 1},
    seconds={"chunk": 6.5},
)


@pytest.mark.parametrize(
    ("status", "is_live", "is_ready"),
    [
        (WELL, 200, 200),
        (replace(WELL, ready=False, progress_age_s=9.0), 200, 503),
        (replace(WELL, ready=False, state="recovering"), 200, 503),
        (replace(WELL, ready=False, state="closed"), 503, 503),
    ],
)
def test_probes(status: ServiceStatus, is_live: int, is_ready: int) -> None:
    assert (live(status).http_status, ready(status).http_status) == (is_live, is_ready)


def test_a_hanging_engine_is_called_so() -> None:
    assert ready(replace(WELL, ready=False, progress_age_s=9.0)).words == "hanging, last progress 9.0 s ago"


def test_metrics_are_lines_of_prometheus() -> None:
    text = metrics(WELL)
    assert text.endswith("\n")
    lines = text.splitlines()
    sample = re.compile(r'flashtalk_[a-z_]+(\{[a-z]+="[a-z]+"\})? [\d.]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert {"flashtalk_chunks_total 7", "flashtalk_frames_total 196", "flashtalk_line 2"} <= set(lines)
    assert 'flashtalk_engines_lost_total{why="hung"} 1' in lines
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(named) == len(set(named))
