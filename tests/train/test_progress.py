"""Laws of what a run tells: means over iterations and ranks, time left, files that a reader gets back."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.train.two_ranks import Pair, alone
from train import progress as module
from train.progress import Progress, read_metrics, readable_s
from train.ranks import Ranks


def tell(ranks: Ranks, folder: Path) -> str:
    """Five iterations, a number that comes in every other one, a validation, an end."""
    shown = io.StringIO()
    with Progress(folder, 5, ranks, log_every=2, stream=shown) as progress:
        for iteration in range(5):
            stats: dict[str, Any] = {"loss": torch.tensor(float(10 * iteration + ranks.rank), requires_grad=True)}
            if iteration % 2 == 0:
                stats["student"] = float(iteration)
            progress.step(iteration, stats)
            if iteration == 3:
                progress.metrics(iteration, {"sync": torch.tensor(7.0)})
    progress.summary({"psnr_db": torch.tensor(31.5), "latent_mean": [0.5, 1.0]})
    return shown.getvalue()


def test_numbers_are_means_over_iterations_and_ranks(pair: Pair, tmp_path: Path) -> None:
    first, second = pair.run(tell, tmp_path)
    entries = read_metrics(tmp_path)
    assert [entry["iteration"] for entry in entries] == [1, 3, 4]
    assert [entry["loss"] for entry in entries] == [5.5, 25.5, 40.5]
    assert [entry["student"] for entry in entries] == [0.0, 2.0, 4.0]
    assert [entry.get("sync") for entry in entries] == [None, 7.0, None]
    assert all(entry["iteration_s"] >= 0 for entry in entries)
    assert second == ""
    lines = first.splitlines()
    assert lines[0] == "for live curves install tensorboard; the numbers are in metrics.jsonl in any case"
    assert lines[1].startswith("2/5  0 s left  ")
    assert lines[-1].startswith("5 done  ")
    assert "loss 40.5" in lines[-1]
    assert json.loads((tmp_path / "summary.json").read_text()) == {"psnr_db": 31.5, "latent_mean": [0.5, 1.0]}


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    with alone() as ranks:
        for value, start in ((1.0, 0), (2.0, 2)):
            with Progress(tmp_path, 4, ranks, 1, stream=io.StringIO()) as progress:
                for iteration in range(start, 4):
                    progress.step(iteration, {"loss": value})
    assert [entry["loss"] for entry in read_metrics(tmp_path)] == [1.0, 1.0, 2.0, 2.0]
    assert read_metrics(tmp_path / "nothing") == []


class Curves:
    """What a board is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.seen.append((tag, scalar_value, global_step))

    def add_image(self, tag: str, img_tensor: np.ndarray, global_step: int, dataformats: str) -> None:
        self.seen.append((tag, img_tensor.shape, global_step, dataformats))

    def flush(self) -> None:
        self.seen.append(("flush",))

    def close(self) -> None:
        self.seen.append(("close",))


def test_a_board_gets_the_same_numbers_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Curves()
    monkeypatch.setattr(module, "open_board", lambda _folder: (board, ""))
    shown = io.StringIO()
    with alone() as ranks, Progress(tmp_path, 2, ranks, 1, stream=shown) as progress:
        progress.metrics(0, {"sync": 3.0})
        frames = np.random.default_rng(0).integers(0, 256, (20, 6, 4, 3), dtype=np.uint8)
        file = progress.strip(0, "clip", frames, most=3)
        video = progress.file(0, "clip", ".mp4")
    assert board.seen == [("sync", 3.0, 0), ("flush",), ("clip", (6, 12, 3), 0, "HWC"), ("close",)]
    assert np.array_equal(np.asarray(Image.open(file)), np.concatenate(list(frames[[0, 10, 19]]), axis=1))
    assert video.parent.is_dir()
    assert video.name == "clip-00000000.mp4"
    assert shown.getvalue() == "iteration 1: sync 3\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3599, "1 h 00 min"), (11220, "3 h 07 min"), (187_300, "2 d 04 h")],
)
def test_time_is_readable(seconds: float, words: str) -> None:
    assert readable_s(seconds) == words
