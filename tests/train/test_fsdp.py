"""Laws of sharding: any number of ranks computes what one does, through every entry, with and without gradients."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch._dynamo.utils
from torch import Tensor

from flashtalk.checkpoint import init_component
from flashtalk.models.dit import DiT
from tests.train.two_ranks import (
    CPU,
    Pair,
    alone,
    loss_of,
    own_share,
    plain,
    sharded,
    tiny,
    velocity,
    weights_of,
    whole,
)
from train.fsdp import ShardConfig, shard
from train.optim import OptimConfig, Optimiser
from train.ranks import Ranks

# A key bias has no gradient but rounding; a plain eps would blow that up to steps of full size.
QUICK = OptimConfig(learning_rate=1e-3, betas=(0.9, 0.99), eps=1e-5, clip_norm=0.5)
BATCH = 4


def train(ranks: Ranks, dit: DiT, iterations: int) -> list[tuple[float, float]]:
    """(loss, gradient norm) of each iteration; the global batch is the same for any number of ranks."""
    optimiser, seen = Optimiser(dit, QUICK, iterations), []
    for iteration in range(iterations):
        share = own_share(ranks, range(BATCH * iteration, BATCH * (iteration + 1)))
        total = 0.0
        for sample in share:
            loss = loss_of(dit, sample)
            optimiser.backward(loss, len(share))
            total += loss.item() / len(share)
        seen.append((ranks.all_mean(total), optimiser.step().gradient_norm))
    return seen


def train_sharded(ranks: Ranks, iterations: int, config: dict[str, Any]) -> tuple[list[Any], dict[str, Tensor]]:
    dit = sharded(ranks, **config)
    return train(ranks, dit, iterations), weights_of(dit)


def test_two_ranks_learn_what_one_does(pair: Pair) -> None:
    """Losses, gradient norms (clipped at every update) and weights of 5 iterations; so does a network not sharded."""
    with alone() as ranks:
        lone, lone_weights = train_sharded(ranks, 5, {})
        free = plain()
        unsharded = train(ranks, free, 5)
    (two, weights), (again, _) = pair.run(train_sharded, 5, {})
    assert two == again
    assert min(norm for _, norm in lone) > QUICK.clip_norm
    torch.testing.assert_close(torch.tensor(two), torch.tensor(lone), rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.tensor(unsharded), torch.tensor(lone), rtol=1e-6, atol=0)
    torch.testing.assert_close(weights, lone_weights, rtol=0, atol=2e-6)
    torch.testing.assert_close(weights_of(free), lone_weights, rtol=0, atol=2e-6)


def test_bf16_compute_learns_alike(pair: Pair) -> None:
    with alone() as ranks:
        exact, _ = train_sharded(ranks, 3, {})
    (low, weights), _ = pair.run(train_sharded, 3, {"compute": "bfloat16"})
    assert low != exact
    torch.testing.assert_close(torch.tensor(low), torch.tensor(exact), rtol=1e-2, atol=0)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert any(not torch.equal(t, t.bfloat16().float()) for t in weights.values())


def low_parts(ranks: Ranks) -> dict[str, torch.dtype]:
    """In what dtype parameters are while their modules run."""
    dit, seen = sharded(ranks, compute="bfloat16"), {}

    def look(prefix: str) -> Any:
        def hook(module: torch.nn.Module, *_: Any) -> None:
            seen.update({f"{prefix}{name}": p.dtype for name, p in module.named_parameters(recurse=False)})

        return hook

    for name, module in dit.named_modules():
        module.register_forward_pre_hook(look(name + "." if name else ""))
    loss_of(dit, 0).backward()
    return seen


@pytest.mark.parametrize("first", ["embed_time", "embed_context", "embed_audio"])
def test_any_entry_may_come_first(first: str) -> None:
    config = tiny()
    inputs = {
        "embed_time": (torch.tensor([5.0]),),
        "embed_context": (torch.randn(1, 3, config.text_dim), torch.randn(1, 3, config.image_dim)),
        "embed_audio": (torch.randn(1, 5, config.audio_window, config.audio_layers * config.audio_dim),),
    }
    with alone() as ranks:
        dit = sharded(ranks)
        getattr(dit, first)(*inputs[first])
        loss_of(dit, 0).backward()
        torch.testing.assert_close(gradients(dit), gradients_of_plain())


def gradients_of_plain() -> dict[str, Tensor]:
    dit = plain()
    loss_of(dit, 0).backward()
    return gradients(dit)


def test_what_must_stay_float32_does() -> None:
    """Time and modulation compute in float32, everything else in bf16: as in the engine."""
    with alone() as ranks:
        seen = low_parts(ranks)
    assert seen.keys() == dict(plain().named_parameters()).keys()
    assert {name for name, dtype in seen.items() if dtype == torch.float32} == set(filter(DiT.keeps_float32, seen))
    assert set(seen.values()) == {torch.float32, torch.bfloat16}


def test_bf16_compute_is_the_engines() -> None:
    """The same masters give the engine's bf16 result, bit for bit."""
    masters = plain(3, trained=False)
    with alone() as ranks, torch.no_grad():
        found = velocity(sharded(ranks, 3, compute="bfloat16"), 5)
    low = torch.bfloat16
    for name, parameter in masters.named_parameters():
        parameter.data = parameter.data if DiT.keeps_float32(name) else parameter.data.to(low)
    wanted = engine_velocity(masters, 5)
    assert torch.equal(found, wanted)


def engine_velocity(dit: DiT, sample: int) -> Tensor:
    """As tests.train.two_ranks.velocity, with rows cast by the caller as the pipeline does."""

    def cast(_module: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(arg.to(dit.dtype) for arg in args)

    for module in (dit.text_embedding, dit.img_emb, dit.audio_proj):
        module.register_forward_pre_hook(cast)
    return velocity(dit, sample)


def turns(student: DiT, fake: DiT, teacher: DiT, samples: list[int], scale: int) -> Iterator[dict[str, Any]]:
    """What stage 2 does with three networks: rollout without gradients, graded forward, backward, critic; twice."""
    students, fakes = Optimiser(student, QUICK, 2), Optimiser(fake, QUICK, 2)
    for turn in range(2):
        for sample in samples:
            with torch.no_grad():
                start = velocity(student, sample + turn)
            made = velocity(student, sample + turn, start, 300.0)
            with torch.no_grad():
                pull = velocity(fake, sample, made, 500.0) - velocity(teacher, sample, made, 500.0)
            students.backward((made * pull).mean(), scale)
        norm = students.step().gradient_norm
        for sample in samples:
            with torch.no_grad():
                made = velocity(student, sample, velocity(student, sample), 300.0)
            fakes.backward((velocity(fake, sample, made) - made).square().mean(), scale)
        yield {"norms": [norm, fakes.step().gradient_norm], "fake": weights_of(fake), "student": weights_of(student)}


def turns_sharded(ranks: Ranks) -> list[dict[str, Any]]:
    networks = sharded(ranks, 1), sharded(ranks, 2), sharded(ranks, 3, trained=False)
    samples = own_share(ranks, range(BATCH))
    return list(turns(*networks, samples, len(samples)))


def test_rollout_graded_forward_and_critic_twice(pair: Pair) -> None:
    """Networks in pieces never compute with old weights, whatever comes between their updates."""
    wanted = list(turns(plain(1), plain(2), plain(3, trained=False), list(range(BATCH)), BATCH))
    for found in pair.run(turns_sharded):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=5e-6)


def swap_between(ranks: Ranks) -> bool:
    """A forward without gradients, new weights, another forward: the second must see them, in every piece."""
    dit, other = sharded(ranks, 1), plain(2)
    with torch.no_grad():
        velocity(dit, 0)
        for name, parameter in dit.named_parameters():
            start = ranks.shard_rank * -(-parameter.shape[0] // ranks.shard_count)
            piece = parameter.to_local()  # type: ignore[attr-defined]
            piece.copy_(other.state_dict()[name][start : start + len(piece)])
        return torch.allclose(velocity(dit, 0), velocity(other, 0), atol=1e-5)


def test_new_weights_are_seen_at_once(pair: Pair) -> None:
    assert pair.run(swap_between) == [True, True]


def input_gradients(dit: DiT) -> list[Tensor]:
    """Of latents and of every weight, where latents ask for gradients too: pieces must be there until the very end."""
    latents = torch.randn(1, 8, 3, 4, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    velocity(dit, 0, latents).square().mean().backward()
    assert latents.grad is not None
    return [latents.grad, *gradients(dit).values()]


def gradients(dit: DiT) -> dict[str, Tensor]:
    found = {name: p.grad for name, p in dit.named_parameters()}
    return {name: whole(gradient) for name, gradient in found.items() if gradient is not None}


def input_gradients_sharded(ranks: Ranks) -> list[Tensor]:
    return input_gradients(sharded(ranks))


def test_gradients_reach_the_inputs(pair: Pair) -> None:
    wanted = input_gradients(plain())
    for found in pair.run(input_gradients_sharded):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_compiled_blocks_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block as one graph, whatever hooks sit around it."""
    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(torch.nn.Module.compile, backend="eager"))
    torch._dynamo.utils.counters.clear()
    with alone() as ranks:
        wanted, found = (sharded(ranks, compile=compiled) for compiled in (False, True))
        for dit in (wanted, found):
            loss_of(dit, 0).backward()
        torch.testing.assert_close(gradients(found), gradients(wanted))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert not torch._dynamo.utils.counters["graph_break"]


def test_checkpointing_changes_nothing_but_memory() -> None:
    def grads(ranks: Ranks, checkpointing: bool) -> tuple[dict[str, Tensor], int]:
        dit, kept = sharded(ranks, checkpointing=checkpointing), 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = loss_of(dit, 0)
        loss.backward()
        return gradients(dit), kept

    with alone() as ranks:
        (with_it, little), (without, much) = grads(ranks, True), grads(ranks, False)
    torch.testing.assert_close(with_it, without, rtol=0, atol=0)
    assert with_it.keys() == dict(plain().named_parameters()).keys()
    assert 2 * little < much


def test_frozen_networks_may_be_held_in_bf16() -> None:
    with alone() as ranks:
        teacher = sharded(ranks, 3, trained=False, hold="bfloat16", compute="bfloat16")
        master = sharded(ranks, 3, compute="bfloat16")
        low = {name for name, p in teacher.named_parameters() if p.dtype == torch.bfloat16}
        assert low == {name for name, _ in teacher.named_parameters() if not DiT.keeps_float32(name)}
        assert torch.equal(velocity(teacher, 0), velocity(master, 0))
        with pytest.raises(AssertionError, match="bf16 masters do not learn"):
            sharded(ranks, hold="bfloat16")


def test_weights_given_are_kept() -> None:
    """A network that has weights keeps them."""
    with torch.device("meta"):
        dit = DiT(tiny())
    init_component(dit, 4, CPU, lambda _name: torch.float32)
    before = weights_of(dit)
    with alone() as ranks:
        shard(dit, ranks, ShardConfig())
        torch.testing.assert_close(weights_of(dit), before, rtol=0, atol=0)
