"""Laws of a group of ranks: who is who, what they compute together, and that they notice when they disagree."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from flashtalk.errors import ConfigError
from tests.train.two_ranks import Pair, alone
from train.ranks import LAUNCHER, Ranks


def facts(ranks: Ranks) -> tuple[object, ...]:
    ranks.barrier()
    state = torch.random.get_rng_state()
    mean = ranks.all_mean(torch.tensor(float(ranks.rank), requires_grad=True))
    ranks.agree({"k": 3, "j": 1})
    assert torch.equal(state, torch.random.get_rng_state())
    return ranks.rank, ranks.world, ranks.is_first, ranks.shard_rank, ranks.shard_count, ranks.writes_shards, mean


def disagree(ranks: Ranks) -> str:
    assert ranks.any_true(ranks.rank == 1)
    assert not ranks.any_true(False)
    try:
        ranks.agree(["k", ranks.rank])
    except AssertionError as error:
        return str(error)
    return ""


def test_two_ranks_know_each_other(pair: Pair) -> None:
    assert pair.run(facts) == [(0, 2, True, 0, 2, True, 0.5), (1, 2, False, 1, 2, True, 0.5)]


def test_a_lone_process_is_a_group_of_one() -> None:
    with Ranks.from_environment({"PATH": "/bin"}, device="cpu") as ranks:
        assert facts(ranks) == (0, 1, True, 0, 1, True, 0.0)
    assert not dist.is_initialized()


def test_a_group_ends_with_its_block() -> None:
    with pytest.raises(ZeroDivisionError), alone():
        raise ZeroDivisionError
    assert not dist.is_initialized()


def test_ranks_that_disagree_are_told(pair: Pair) -> None:
    first, second = pair.run(disagree)
    assert "ranks [1] hold something else" in first
    assert "ranks [0] hold something else" in second


def copies(ranks: Ranks) -> list[object]:
    """Two hosts of one rank each: every rank has the whole, the first copy is written."""
    from torch.distributed.device_mesh import init_device_mesh  # a group of more than 16 ranks is too many for a test

    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("replicate", "shard"))
    hosts = Ranks(ranks.rank, ranks.world, ranks.device, mesh)
    return [hosts.shard_rank, hosts.shard_count, hosts.writes_shards]


def test_copies_of_the_weights_are_written_once(pair: Pair) -> None:
    assert pair.run(copies) == [[0, 1, True], [0, 1, False]]


def test_half_a_launcher_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"WORLD_SIZE is set, but not .*MASTER_ADDR"):
        Ranks.from_environment({"RANK": "0", "WORLD_SIZE": "2"}, device="cpu")


def test_the_launchers_numbers_are_used(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    monkeypatch.setattr(Ranks, "join", classmethod(lambda cls, *args, **named: seen.update(named, args=args)))
    values = ("5", "16", "1", "4", "host", "29500")
    Ranks.from_environment(dict(zip(LAUNCHER, values, strict=True)), device="cpu", timeout_s=7)
    assert seen == {
        "args": (5, 16),
        "meet_at": "tcp://host:29500",
        "local_rank": 1,
        "shard_size": 4,
        "device": "cpu",
        "timeout_s": 7,
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="shows what is said without a GPU")
@pytest.mark.parametrize(("device", "words"), [("tpu", "takes auto, cuda or cpu"), ("cuda", "the host shows 0")])
def test_a_device_that_is_not_there_is_refused(device: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Ranks.from_environment({}, device=device)
    assert not dist.is_initialized()
