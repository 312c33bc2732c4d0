"""The memory plan against the training facts' arithmetic for 14B, and what must hold for any model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flashtalk.config import Config, ModelConfig
from flashtalk.config_file import load_model_config
from tests.train.two_ranks import alone, loss_of, sharded, tiny
from train.ema import Ema
from train.optim import OptimConfig, Optimiser
from train.plan import CONTEXT_BYTES, DMD, GB, SFT, MemoryPlan, Role, Sizes, memory_plan
from train.weights import own_piece


def sizes(plan: MemoryPlan) -> dict[str, float]:
    return {item.name: item.bytes / GB for item in plan.items}


def test_stage_2_of_14b_on_eight_gpus() -> None:
    plan = memory_plan(load_model_config("flashtalk-14b"), DMD, 8)
    found = sizes(plan)
    assert plan.parameters / 1e9 == pytest.approx(18.88, rel=1e-3)
    wanted = {
        "student: float32 masters": 9.44,
        "student: Adam's moments": 18.88,
        "student: EMA": 9.44,
        "fake: float32 masters": 9.44,
        "fake: Adam's moments": 18.88,
        "teacher: weights in bf16": 4.72,
        "gradients, of one network at a time": 9.44,
        "inputs of the blocks (checkpoints)": 5.0,
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=0.1)
    assert plan.kept_bytes / GB == pytest.approx(80.2, rel=0.02)
    assert plan.peak_bytes / GB == pytest.approx(100, rel=0.1)


def test_one_replica_of_32_gpus_is_eight() -> None:
    model = load_model_config("flashtalk-14b")
    assert memory_plan(model, DMD, 32).kept_bytes == memory_plan(model, DMD, 8).kept_bytes
    assert memory_plan(model, DMD, 8).kept_bytes == 2 * memory_plan(model, DMD, 16).kept_bytes


def test_levers_pull(tiny_config: Config) -> None:
    model = tiny_config.model
    base = memory_plan(model, SFT, 2)
    parts = {role: replace(SFT["student"], moments_bytes=4) for role in SFT}
    assert base.kept_bytes - memory_plan(model, parts, 2).kept_bytes == 4 * base.parameters / 2
    assert memory_plan(model, {"student": Role()}, 2).kept_bytes < base.kept_bytes
    deep = replace(model, dit=replace(model.dit, num_layers=20))
    wide, narrow = (peak(deep, checkpointing=checkpointing) for checkpointing in (False, True))
    fixed = memory_plan(deep, SFT, 2).kept_bytes + CONTEXT_BYTES
    assert wide - fixed > 4 * (narrow - fixed)
    assert peak(model, batch=4) > peak(model)
    assert peak(model) <= base.peak_bytes


def peak(model: ModelConfig, **changes: Any) -> float:
    return memory_plan(model, SFT, 2, Sizes(**changes), codec=False).peak_bytes


def test_the_table_adds_up(tiny_config: Config) -> None:
    plan = memory_plan(tiny_config.model, DMD, 2)
    lines = plan.table().splitlines()
    assert lines[0].endswith("over 2 GPUs; GB (1e9 bytes) on each")
    assert [line.split()[0] for line in lines[-2:]] == ["kept", "peak"]
    assert plan.kept_bytes <= plan.peak_bytes <= sum(item.bytes for item in plan.items)


def test_what_is_kept_is_what_a_run_keeps(tiny_config: Config) -> None:
    """Masters, moments, gradients and EMA of a real run, byte for byte (Adam's step counts aside)."""
    with alone() as ranks:
        dit = sharded(ranks)
        optimiser, ema = Optimiser(dit, OptimConfig(), 1), Ema(dit, 0.9)
        optimiser.backward(loss_of(dit, 0))
        held = [*dit.parameters(), *(p.grad for p in dit.parameters()), *(t for _, t in ema.tensors())]
        held += [tensor for name, tensor in optimiser.moments() if not name.endswith("/step")]
        total = sum(own_piece(tensor).nbytes for tensor in held if tensor is not None)
    model = replace(tiny_config.model, dit=tiny())
    assert memory_plan(model, SFT, 1).kept_bytes == total
