"""Sharded checkpoints of a run: everything needed to go on as if it had never stopped. Called by the training loops.

A folder for each saved step. Every rank writes its own rows as safetensors (data, no code) under a temporary name;
the folder gets its real name when all are there. Any number of ranks can go on from any other.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from flashtalk.errors import CheckpointError
from train.ema import Ema
from train.optim import Optimiser
from train.pieces import Pieces, write_pieces
from train.randomness import get_randomness, set_randomness
from train.ranks import Ranks
from train.weights import put_rows

STATE = "state.json"
STEP_NAME = re.compile(r"step-\d{8}")


@dataclass
class RunState:
    """What a run consists of: networks, optimisers and EMAs by role ("student", "fake").

    counters are the same on all ranks. position says where this rank's data goes on. Both are plain data (JSON).
    """

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimiser] = field(default_factory=dict)
    emas: Mapping[str, Ema] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    position: dict[str, Any] = field(default_factory=dict)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All of it by path: module/role/name, optimiser/role/name/moment, ema/role/name."""
        for role, module in self.modules.items():
            yield from ((f"module/{role}/{name}", tensor) for name, tensor in module.state_dict().items())
        for role, optimiser in self.optimisers.items():
            yield from ((f"optimiser/{role}/{name}", tensor) for name, tensor in optimiser.moments())
        for role, ema in self.emas.items():
            yield from ((f"ema/{role}/{name}", tensor) for name, tensor in ema.tensors())

    def counts(self) -> dict[str, Any]:
        """All counters, those of optimisers and EMAs too."""
        return {
            "counters": self.counters,
            "optimisers": {role: optimiser.counters() for role, optimiser in self.optimisers.items()},
            "emas": {role: ema.updates for role, ema in self.emas.items()},
        }

    def set_counts(self, counts: Mapping[str, Any]) -> None:
        """The inverse of `counts`."""
        self.counters.update(counts["counters"])
        for role, optimiser in self.optimisers.items():
            optimiser.set_counters(counts["optimisers"][role])
        for role, ema in self.emas.items():
            ema.updates = counts["emas"][role]


def save_state(state: RunState, folder: Path, ranks: Ranks, step: int, *, keep: int = 2) -> Path:
    """Write `folder`/step-NNNNNNNN, whole or not at all, then remove all but the newest `keep`. All ranks call it.

    Raises CheckpointError on every rank if one could not write.
    """
    final = folder / f"step-{step:08}"
    part = folder / f".{final.name}.part"
    if ranks.is_first:
        shutil.rmtree(part, ignore_errors=True)
    ranks.barrier()
    problem = _try_write(state, part, ranks)
    if ranks.any_true(problem is not None):
        raise problem or CheckpointError(f"another rank could not write its part of {final.name}; see its message")
    if ranks.is_first:
        _write_json(part / STATE, {"format": 1, "step": step, "world": ranks.world, **state.counts()})
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        for old in complete_states(folder)[: -max(1, keep)]:
            shutil.rmtree(old)
    ranks.barrier()
    return final


def load_state(state: RunState, folder: Path, ranks: Ranks) -> None:
    """Put a saved step (a folder that `save_state` gave) into networks, optimisers and EMAs that are already built.

    Counters too, and position and randomness of this rank if as many ranks saved it. Raises CheckpointError.
    """
    tree = _read_json(folder / STATE)
    wanted = dict(state.tensors())
    with _open_pieces(folder, tree["world"]) as pieces:
        pieces.check(wanted)
        for name, tensor in wanted.items():
            put_rows(tensor, pieces.reader(name))
    state.set_counts(tree)
    if tree["world"] == ranks.world:
        own = _read_json(folder / _rank_file(ranks.rank))
        state.position.update(own["position"])
        set_randomness(own["randomness"], ranks.device)
    ranks.barrier()


def newest_complete(folder: Path) -> Path | None:
    """The newest step that was saved to the end, None if there is none."""
    return next(reversed(complete_states(folder)), None)


def complete_states(folder: Path) -> list[Path]:
    """All steps that were saved to the end, oldest first."""
    if not folder.is_dir():
        return []
    steps = [path for path in folder.iterdir() if STEP_NAME.fullmatch(path.name) and (path / STATE).is_file()]
    return sorted(steps, key=lambda path: path.name)


def saved_tensors(folder: Path, part: str) -> Iterator[tuple[str, Tensor]]:
    """Full tensors of one part ("module/student", "ema/student") of a saved step, one by one, on the CPU.

    For exports without the run's GPUs (train/weights.fill_shell): needs no process group. Raises CheckpointError.
    """
    prefix = part + "/"
    with _open_pieces(folder, _read_json(folder / STATE)["world"]) as pieces:
        names = [name for name in pieces.shapes if name.startswith(prefix)]
        if not names:
            known = sorted({"/".join(name.split("/")[:2]) for name in pieces.shapes})
            raise CheckpointError(f"{folder.name} holds no {part}; it has {', '.join(known)}")
        for name in names:
            yield name.removeprefix(prefix), pieces.whole(name)


def _try_write(state: RunState, part: Path, ranks: Ranks) -> CheckpointError | None:
    try:
        part.mkdir(parents=True, exist_ok=True)
        own = {"position": state.position, "randomness": get_randomness(ranks.device)}
        _write_json(part / _rank_file(ranks.rank), {"pieces": write_pieces(state.tensors(), part, ranks), **own})
    except CheckpointError as error:
        return error
    except OSError:
        return CheckpointError(f"{part.name} cannot be written: no room on the disk, or no leave to write there")
    return None


def _open_pieces(folder: Path, world: int) -> Pieces:
    return Pieces(folder, (_read_json(folder / _rank_file(rank))["pieces"] for rank in range(world)))


def _rank_file(rank: int) -> str:
    return f"rank-{rank:05}.json"


def _write_json(file: Path, tree: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(tree) + "\n", encoding="utf-8")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CheckpointError(
            f"{file.name} of {file.parent.name} is missing or damaged; go back to an earlier step"
        ) from None
    return tree
