"""Laws of weights in pieces: the same for any number of ranks, read row by row, exported as the engine loads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from flashtalk.checkpoint import load_component, open_checkpoint, save_component, write_manifest
from flashtalk.config import CheckpointConfig, Config
from flashtalk.errors import CheckpointError
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.models.dit import DiT
from tests.train.two_ranks import CPU, Pair, alone, loss_of, plain, sharded, tiny, velocity, weights_of, whole
from train.ema import Ema
from train.fsdp import ShardConfig, shard
from train.optim import OptimConfig, Optimiser
from train.ranks import Ranks
from train.weights import (
    draw_weights,
    export_component,
    fill_from_checkpoint,
    fill_random,
    stored_dtype,
    take_fitting,
)


def drawn(ranks: Ranks) -> dict[str, Tensor]:
    return weights_of(sharded(ranks, 9))


def test_weights_drawn_do_not_depend_on_ranks(pair: Pair) -> None:
    wanted = weights_of(plain(9))
    for found in pair.run(drawn):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert not torch.equal(wanted["blocks.0.ffn.0.weight"], weights_of(plain(8))["blocks.0.ffn.0.weight"])
    assert not torch.equal(wanted["blocks.0.self_attn.q.weight"], wanted["blocks.1.self_attn.q.weight"])


def uneven(ranks: Ranks) -> dict[str, Tensor]:
    """Five rows over two ranks, one row over two, none that fit."""
    module = nn.ModuleDict({"five": nn.Linear(3, 5), "one": nn.Linear(2, 1)})
    for part in module.values():
        shard(part, ranks, ShardConfig(compute="float32"))
    fill_random(module, 2, CPU, lambda _name, shape, source: torch.randn(shape, generator=source))
    return {name: whole(tensor) for name, tensor in module.state_dict().items()}


def test_rows_need_not_divide(pair: Pair) -> None:
    with alone() as ranks:
        wanted = uneven(ranks)
    for found in pair.run(uneven):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_new_network_predicts_nothing() -> None:
    """The head starts at zero; everything else is alive."""
    with torch.device("meta"):
        dit = DiT(tiny())
    fill_random(dit, 0, CPU)
    assert velocity(dit, 0).abs().max() == 0
    assert draw_weights("head.head.weight", torch.Size((4, 4)), torch.Generator()).abs().max() == 0
    dead = {name for name, p in dit.named_parameters() if not p.any()}
    assert dead == {name for name, _ in dit.named_parameters() if name.endswith("bias") or name == "head.head.weight"}


def test_every_network_can_be_drawn(tiny_wan_config: Config) -> None:
    """Norms and scales are one, biases zero, all else is neither and of a sensible size."""
    for name, module in named_modules(build_models_on_meta(tiny_wan_config.model)):
        fill_random(module, 1, CPU)
        for own, tensor in module.state_dict().items():
            leaf, one_row = own.rpartition(".")[2], sum(n > 1 for n in tensor.shape) < 2
            if leaf in ("gamma", "original0") or (leaf == "weight" and one_row):
                assert (tensor == 1).all(), (name, own)
            elif leaf == "bias" or own == "head.head.weight":
                assert (tensor == 0).all(), (name, own)
            else:
                assert 0.005 < tensor.std().item() < 1, (name, own)


def trained_and_exported(ranks: Ranks, folder: Path) -> dict[str, Tensor]:
    """One update, then two exports: the mean in float32, the weights as they are served."""
    dit = sharded(ranks)
    optimiser, ema = Optimiser(dit, OptimConfig(learning_rate=1e-2), 1), Ema(dit, 0.5)
    optimiser.backward(loss_of(dit, ranks.rank))
    optimiser.step()
    ema.update()
    with ema.swapped(), torch.no_grad():
        mean = velocity(dit, 3)
        export_one(dit, ranks, folder / "mean", torch.float32)
    export_one(dit, ranks, folder / "served", torch.bfloat16)
    ranks.barrier()
    return {"mean": mean, **weights_of(dit)}


def export_one(dit: DiT, ranks: Ranks, folder: Path, dtype: torch.dtype) -> None:
    with torch.device("meta"):
        shell = DiT(dit.config)
    if export_component(dit, ranks, folder, "dit", shell, stored_dtype(shell, dtype)):
        write_manifest(folder, "a test", None)


def reload(folder: Path, ranks: Ranks | None = None) -> DiT:
    """Through the engine's loader, or in pieces."""
    with torch.device("meta"):
        dit = DiT(tiny())
    checkpoint = open_checkpoint(CheckpointConfig(source=str(folder)))
    if ranks:
        shard(dit, ranks, ShardConfig(compute="float32"))
        fill_from_checkpoint(dit, checkpoint, "dit", CPU)
    else:
        load_component(dit, checkpoint, "dit", CPU, lambda _name: torch.float32)
    return dit


def reloaded_in_pieces(ranks: Ranks, folder: Path) -> dict[str, Tensor]:
    return weights_of(reload(folder, ranks))


def test_an_export_is_what_was_trained(pair: Pair, tmp_path: Path) -> None:
    """The engine's loader gives the outputs of the mean; the served file is rounded once, but what stays float32."""
    trained = pair.run(trained_and_exported, tmp_path)[0]
    with torch.no_grad():
        torch.testing.assert_close(velocity(reload(tmp_path / "mean"), 3), trained.pop("mean"), rtol=1e-5, atol=1e-6)
    served = weights_of(reload(tmp_path / "served"))
    wanted = {n: t if DiT.keeps_float32(n) else t.bfloat16().float() for n, t in trained.items()}
    torch.testing.assert_close(served, wanted, rtol=0, atol=0)
    for found in pair.run(reloaded_in_pieces, tmp_path / "served"):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_names_that_are_published_otherwise_are_found(tiny_config: Config, tmp_path: Path) -> None:
    """A component with a name map arrives in pieces as through the engine's loader."""
    with torch.device("meta"):
        wanted, found = (AudioEncoder(tiny_config.model.audio_encoder) for _ in range(2))
    fill_random(wanted, 3, CPU, lambda _name, shape, source: torch.randn(shape, generator=source))
    save_component(wanted, tmp_path, "audio_encoder")
    write_manifest(tmp_path, "a test", None)
    with alone() as ranks:
        shard(found, ranks, ShardConfig(compute="float32"))
        checkpoint = open_checkpoint(CheckpointConfig(source=str(tmp_path)))
        fill_from_checkpoint(found, checkpoint, "audio_encoder", CPU)
        whole = {name: getattr(t, "full_tensor", lambda t=t: t)() for name, t in found.state_dict().items()}
        torch.testing.assert_close(whole, dict(wanted.state_dict()), rtol=0, atol=0)


def test_another_model_is_refused(tmp_path: Path) -> None:
    save_component(plain(), tmp_path, "dit")
    write_manifest(tmp_path, "a test", None)
    with torch.device("meta"):
        other = DiT(replace(tiny(), num_layers=3))
    checkpoint = open_checkpoint(CheckpointConfig(source=str(tmp_path)))
    with pytest.raises(CheckpointError, match=r"missing  blocks\.2"):
        fill_from_checkpoint(other, checkpoint, "dit", CPU)


def test_a_warm_start_takes_what_fits_and_leaves_the_rest(tiny_config: Config, tmp_path: Path) -> None:
    config = tiny_config.model.dit
    with torch.device("meta"):
        old, new = DiT(config), DiT(replace(config, latent_channels=config.latent_channels + 4))
    for seed, dit in enumerate((old, new)):
        fill_random(dit, seed, CPU, lambda _name, shape, source: torch.randn(shape, generator=source))
    save_component(old, tmp_path, "dit")
    write_manifest(tmp_path, "a test", None)
    before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
    taken = take_fitting(new, open_checkpoint(CheckpointConfig(source=str(tmp_path))), "dit")
    state, kept = new.state_dict(), old.state_dict()
    fits = {name for name in state if state[name].shape == kept[name].shape}
    assert taken == len(fits) < len(state)
    assert all(torch.equal(state[name], (kept if name in fits else before)[name]) for name in state)
