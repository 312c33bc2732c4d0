"""serving/health.py: probes tell the truth that the status tells, and metrics can be scraped."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from flashtalk.config import Config
from flashtalk.engine.engine import Engine
from flashtalk.errors import EngineError
from flashtalk.serving.health import live, metrics, ready
from flashtalk.serving.protocol import ServiceStatus
from tests.pipeline.conftest import picture_of, speech

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


def test_a_variant_is_counted_and_makes_no_house_unready() -> None:
    asleep = replace(WELL, ready=False, state="asleep", seats_used=0)
    status = replace(WELL, variants={"exact float32": WELL, 'a "b"\n': asleep})
    assert ready(status).http_status == live(status).http_status == 200
    lines = metrics(status).splitlines()
    assert 'flashtalk_variant_ready{variant="exact float32"} 1' in lines
    assert r'flashtalk_variant_ready{variant="a \"b\"\n"} 0' in lines


def test_metrics_are_lines_of_prometheus() -> None:
    text = metrics(replace(WELL, variants={"exact float32": WELL}))
    assert text.endswith("\n")
    lines = text.splitlines()
    sample = re.compile(r'flashtalk_[a-z_]+(\{[a-z]+="[a-z0-9 ]+"\})? [\d.]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert {"flashtalk_chunks_total 7", "flashtalk_frames_total 196", "flashtalk_line 2"} <= set(lines)
    assert 'flashtalk_engines_lost_total{why="hung"} 1' in lines
    named = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(named) == len(set(named))


def test_a_chunk_of_no_numbers_is_an_error_of_its_stream_only(tiny_config: Config) -> None:
    with Engine(tiny_config) as engine:
        ill, well = (engine.open(picture_of(1)) for _ in range(2))
        wanted = engine.open(picture_of(1))
        for session in (ill, well, wanted):
            session.push(speech(2 * 33 * 640))
        ill.step()
        ill._progress = replace(ill._progress, motion_CTHW=torch.full_like(ill._progress.motion_CTHW, torch.nan))
        for _ in range(2):
            with pytest.raises(EngineError) as error:
                ill.step()
            assert error.value.code == "not_finite"
            assert np.array_equal(well.step().frames_FHWC, wanted.step().frames_FHWC)
