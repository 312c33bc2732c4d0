"""Laws of saved runs: going on equals never having stopped; nothing half is ever taken; any rank count reads any."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flashtalk.errors import CheckpointError
from flashtalk.models.dit import DiT
from tests.train.two_ranks import CPU, Pair, alone, loss_of, plain, sharded, tiny, weights_of, whole
from train import pieces
from train.ema import Ema
from train.optim import OptimConfig, Optimiser
from train.ranks import Ranks
from train.states import RunState, complete_states, load_state, newest_complete, save_state, saved_tensors
from train.weights import fill_shell, own_piece

CONFIG = OptimConfig(learning_rate=1e-3, betas=(0.9, 0.99), warmup_updates=3, schedule="cosine")
SLOW = OptimConfig(learning_rate=1e-4, moments="bfloat16")


def start(ranks: Ranks, seed: int = 0) -> RunState:
    student, fake = sharded(ranks, seed), sharded(ranks, seed + 1)
    optimisers = {"student": Optimiser(student, CONFIG, 6), "fake": Optimiser(fake, SLOW, 6)}
    modules = {"student": student, "fake": fake}
    return RunState(modules, optimisers, {"student": Ema(student, 0.9)}, {"iteration": 0}, {"next": 10 * ranks.rank})


def go_on(state: RunState, iterations: int) -> list[float]:
    """Iterations that use all that a run has: counters, data position, every kind of random numbers."""
    losses = []
    for _ in range(iterations):
        for role, optimiser in state.optimisers.items():
            noise = torch.rand(()).item() + np.random.rand() + random.random()
            loss = loss_of(state.modules[role], state.position["next"])  # type: ignore[arg-type]
            optimiser.backward(loss * (1 + noise))
            losses += [loss.item(), optimiser.step().gradient_norm]
            state.position["next"] += 1
        state.emas["student"].update()
        state.counters["iteration"] += 1
    return losses


def fingerprint(state: RunState) -> dict[str, Any]:
    """This rank's bits."""
    bits = {
        n: hashlib.sha256(own_piece(t).view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
        for n, t in state.tensors()
    }
    return {"bits": bits, "position": dict(state.position), **state.counts()}


def full(state: RunState) -> dict[str, torch.Tensor]:
    return {name: whole(tensor) for name, tensor in state.tensors()}


def reseed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def never_stopped(ranks: Ranks, folder: Path) -> tuple[Any, Any]:
    reseed(ranks.rank)
    state = start(ranks)
    go_on(state, 2)
    save_state(state, folder, ranks, 2)
    return go_on(state, 2), fingerprint(state)


def resumed(ranks: Ranks, folder: Path) -> tuple[Any, Any]:
    """A new process in all but name: other weights, other random numbers, then what was saved."""
    reseed(77)
    state = start(ranks, seed=50)
    newest = newest_complete(folder)
    assert newest is not None
    load_state(state, newest, ranks)
    return go_on(state, 2), fingerprint(state)


def saved_and_full(ranks: Ranks, folder: Path) -> dict[str, torch.Tensor]:
    state = start(ranks)
    go_on(state, 1)
    save_state(state, folder, ranks, 1)
    return full(state)


def load_full(ranks: Ranks, folder: Path) -> dict[str, torch.Tensor]:
    state = start(ranks, seed=50)
    load_state(state, folder / "step-00000001", ranks)
    assert state.counters == {"iteration": 1}
    return full(state)


def test_going_on_equals_never_having_stopped(pair: Pair, tmp_path: Path) -> None:
    """Bit for bit: weights, moments, means, counters, positions, and the random numbers drawn afterwards."""
    whole_run = pair.run(never_stopped, tmp_path)
    assert pair.run(resumed, tmp_path) == whole_run
    assert whole_run[0][1]["position"] != whole_run[1][1]["position"]
    assert whole_run[0][1]["counters"] == {"iteration": 4}


def test_going_on_alone_equals_never_having_stopped(tmp_path: Path) -> None:
    with alone() as ranks:
        whole_run = never_stopped(ranks, tmp_path)
        assert resumed(ranks, tmp_path) == whole_run


def test_any_number_of_ranks_reads_any(pair: Pair, tmp_path: Path) -> None:
    two = pair.run(saved_and_full, tmp_path / "two")[0]
    with alone() as ranks:
        torch.testing.assert_close(load_full(ranks, tmp_path / "two"), two, rtol=0, atol=0)
        one = saved_and_full(ranks, tmp_path / "one")
    for found in pair.run(load_full, tmp_path / "one"):
        torch.testing.assert_close(found, one, rtol=0, atol=0)


def test_files_may_be_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "FILE_BYTES", 100_000)
    with alone() as ranks:
        saved = saved_and_full(ranks, tmp_path)
        assert len(list(tmp_path.glob("step-00000001/pieces-*"))) > 3
        torch.testing.assert_close(load_full(ranks, tmp_path), saved, rtol=0, atol=0)


# Nothing half.


def small(value: float = 0.0) -> RunState:
    module = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(module.weight, value)
    return RunState({"student": module})


def test_the_last_are_kept(tmp_path: Path) -> None:
    assert newest_complete(tmp_path / "nothing") is None
    with alone() as ranks:
        for step in (5, 20, 100):
            save_state(small(step), tmp_path, ranks, step, keep=2)
        assert [path.name for path in complete_states(tmp_path)] == ["step-00000020", "step-00000100"]
        state, newest = small(), newest_complete(tmp_path)
        assert newest is not None
        load_state(state, newest, ranks)
        assert state.modules["student"].state_dict()["weight"][0, 0] == 100
        save_state(small(7), tmp_path, ranks, 100)
        load_state(state, newest, ranks)
    assert state.modules["student"].state_dict()["weight"][0, 0] == 7


def test_what_was_never_finished_is_ignored(tmp_path: Path) -> None:
    with alone() as ranks:
        good = save_state(small(1), tmp_path, ranks, 1)
        shutil.copytree(good, tmp_path / ".step-00000003.part")
        shutil.copytree(good, tmp_path / "step-00000002")
        (tmp_path / "step-00000002" / "state.json").unlink()
        (tmp_path / "step-9").mkdir()
        assert newest_complete(tmp_path) == good
        assert save_state(small(3), tmp_path, ranks, 3) == newest_complete(tmp_path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("harm", ["lost", "cut", "index"])
def test_damage_is_told(tmp_path: Path, harm: str) -> None:
    with alone() as ranks:
        good = save_state(small(1), tmp_path, ranks, 1)
        file = next(good.glob("rank-*" if harm == "index" else "pieces-*"))
        data = file.read_bytes()
        file.unlink()
        if harm != "lost":
            file.write_bytes(data[: len(data) // 2])
        with pytest.raises(CheckpointError, match="go back to an earlier step"):
            load_state(small(), good, ranks)


def test_another_run_is_refused(tmp_path: Path) -> None:
    with alone() as ranks:
        good = save_state(small(1), tmp_path, ranks, 1)
        other = RunState({"student": torch.nn.Linear(3, 2, bias=False), "fake": torch.nn.Linear(2, 2)})
        with pytest.raises(CheckpointError) as caught:
            load_state(other, good, ranks)
    lines = str(caught.value).splitlines()
    assert "4 differences" in lines[0]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["missing", "module/fake/weight"],
        ["missing", "module/fake/bias"],
        ["extra", "module/student/bias"],
        ["shape", "module/student/weight"],
    ]


def cannot_write(ranks: Ranks, folder: Path) -> str:
    """On the second rank something is in the way."""
    if ranks.rank == 1:
        folder = folder / "in the way"
        folder.write_text("a file where a folder should be")
    try:
        save_state(start(ranks), folder, ranks, 1)
    except CheckpointError as error:
        return str(error)
    return "written"


def test_all_ranks_hear_of_one_that_cannot_write(pair: Pair, tmp_path: Path) -> None:
    first, second = pair.run(cannot_write, tmp_path)
    assert "another rank could not write" in first
    assert "cannot be written" in second
    assert newest_complete(tmp_path) is None


# Without the run's GPUs.


def test_parts_can_be_read_without_a_group(pair: Pair, tmp_path: Path) -> None:
    saved = pair.run(saved_and_full, tmp_path)[0]
    for part in ("module/student", "ema/student"):
        wanted = {n.removeprefix(part + "/"): t for n, t in saved.items() if n.startswith(part)}
        torch.testing.assert_close(dict(saved_tensors(tmp_path / "step-00000001", part)), wanted, rtol=0, atol=0)
    with torch.device("meta"):
        shell = DiT(tiny())
    fill_shell(shell, saved_tensors(tmp_path / "step-00000001", "module/fake"), lambda _name: torch.float32)
    assert weights_of(shell).keys() == weights_of(plain()).keys()
    assert {tensor.device for tensor in shell.parameters()} == {CPU}
    with pytest.raises(CheckpointError, match="no module/teacher; it has ema/student, module/fake"):
        list(saved_tensors(tmp_path / "step-00000001", "module/teacher"))
