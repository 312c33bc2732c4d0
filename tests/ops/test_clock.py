"""Times of stages: names, sums, and on GPUs the device that computes."""

from __future__ import annotations

import time

import pytest
import torch

from flashtalk.ops.clock import StageClock


def test_spans_of_a_name_are_added_and_read_once() -> None:
    clock = StageClock(torch.device("cpu"))
    for name in ("decode", "host", "decode"):
        with clock.span(name):
            time.sleep(0.01)
    seconds = clock.read()
    assert list(seconds) == ["decode", "host"]
    assert seconds["decode"] > seconds["host"] >= 0.01
    assert clock.read() == {}


def test_marks_go_to_the_device_that_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process has a current device, and may compute on another: marks on an idle one time nothing, or fail."""
    marked: list[object] = []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: object) -> None:
            marked.append(stream)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: ("stream of", device))
    device = torch.device("cuda:3")
    with StageClock(device).span("denoise"):
        pass
    assert marked == [("stream of", device)] * 2
