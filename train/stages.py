"""Networks for training, from a checkpoint in the served layout or from nothing, and back. Called by the trainers.

A stage reads the folder of the one before it and writes its own: the same files, with what it trained replaced.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from torch import nn

from flashtalk.checkpoint import component_files, open_checkpoint, write_manifest
from flashtalk.config import CheckpointConfig, ModelConfig
from flashtalk.config_codec import LightCodecConfig
from flashtalk.config_file import to_tree
from flashtalk.errors import CheckpointError
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.models.dit import DiT
from flashtalk.ops.attention import select_attention
from flashtalk.ops.seeds import mixed_seed
from train.fsdp import ShardConfig, shard
from train.ranks import Ranks
from train.weights import export_component, fill_from_checkpoint, fill_random, stored_dtype, take_fitting

COMPONENTS = ("dit", "codec", "text_encoder", "image_encoder", "audio_encoder")
MODEL_FILE = "model.yaml"
"""Beside the weights: the model config that they belong to, the codec's latent statistics included."""


def get_module(
    model: ModelConfig,
    name: str,
    device: torch.device,
    *,
    weights: str | None = None,
    seed: int = 0,
    required: bool = False,
) -> nn.Module:
    """The network `name` (dit, codec, ...) in float32: of the folder `weights` if it holds it, else newly drawn.

    Raises CheckpointError if there is no such folder, if it holds the network damaged or of another size, and, when
    it is `required`, if it does not hold it.
    """
    module = on_meta(model, name)
    fill(module, name, device, weights=weights, seed=seed, required=required)
    return module


def get_dit(
    model: ModelConfig,
    ranks: Ranks,
    config: ShardConfig,
    *,
    weights: str | None,
    seed: int = 0,
    required: bool = False,
    trainable: bool = True,
) -> DiT:
    """The transformer, sharded before it is filled: no rank ever holds a whole one. A frozen one is held in bf16.

    Its attention is the fastest kernel of the device. Raises CheckpointError as `get_module`.
    """
    dit = on_meta(model, "dit")
    assert isinstance(dit, DiT)
    dit.requires_grad_(trainable)
    shard(dit, ranks, config if trainable else replace(config, hold=config.compute))
    fill(dit, "dit", ranks.device, weights=weights, seed=seed, required=required)
    dit.requires_grad_(trainable)
    dit.set_attention(select_attention("auto", ranks.device, config.low or torch.float32)[1])
    return dit


def on_meta(model: ModelConfig, name: str) -> nn.Module:
    """The network `name` without memory."""
    return dict(named_modules(build_models_on_meta(model)))[name]


def fill(
    module: nn.Module,
    name: str,
    device: torch.device,
    *,
    weights: str | None = None,
    seed: int = 0,
    required: bool = False,
) -> None:
    """Give a network, sharded or not, its weights; see `get_module`."""
    held = weights is not None and _holds(Path(weights), name)
    if required and not held:
        raise CheckpointError(f"{weights or 'no checkpoint'} was given as weights, and it does not hold the {name}")
    if weights is None or not held:
        fill_random(module, mixed_seed(seed, name), device)
        return
    checkpoint = open_checkpoint(CheckpointConfig(source=weights, verify="size"))
    fill_from_checkpoint(module, checkpoint, name, device)


def warm_start(networks: Mapping[str, nn.Module], weights: str) -> dict[str, str]:
    """Give networks what fits of a related checkpoint; says for each how many of its tensors were taken."""
    checkpoint, report = open_checkpoint(CheckpointConfig(source=weights, verify="size")), {}
    for name, module in networks.items():
        taken = take_fitting(module, checkpoint, name) if _holds(Path(weights), name) else 0
        report[name] = f"{taken} of {len(module.state_dict())}"
    return report


def export(
    folder: Path,
    trained: Mapping[str, nn.Module],
    model: ModelConfig,
    ranks: Ranks,
    *,
    weights: str | None,
    source: str,
) -> None:
    """Write the served layout: `trained` (float32 masters, rounded here, once) and the rest of the folder `weights`.

    All ranks must call it; the first one writes.
    """
    shells = dict(named_modules(build_models_on_meta(model)))
    if ranks.is_first and weights is not None:
        _copy_others(Path(weights), folder, trained)
    for name, module in trained.items():
        export_component(module, ranks, folder, name, shells[name], stored_dtype(shells[name]))
    if ranks.is_first:
        (folder / MODEL_FILE).write_text(yaml.safe_dump(to_tree(model), sort_keys=False))
        write_manifest(folder, source, None)
    ranks.barrier()


def with_latent_statistics(model: ModelConfig, mean: list[float], std: list[float]) -> ModelConfig:
    """The config with the normalisation of its light codec's latents."""
    assert isinstance(model.codec, LightCodecConfig), "only the light codec is trained"
    codec = replace(
        model.codec, latent_mean=tuple(round(x, 4) for x in mean), latent_std=tuple(round(x, 4) for x in std)
    )
    return replace(model, codec=codec)


def join(folder: Path, stages: Sequence[Path]) -> None:
    """Put the networks of several stages into one folder; of a network that two hold, the later one's stays.

    The model config is that of the stage that holds the codec. Raises CheckpointError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        open_checkpoint(CheckpointConfig(source=str(stage)))
        _copy_others(stage, folder, ())
        if component_files(stage, "codec") and (stage / MODEL_FILE).is_file():
            shutil.copyfile(stage / MODEL_FILE, folder / MODEL_FILE)
    write_manifest(folder, "train.join", None)


def _holds(folder: Path, name: str) -> bool:
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}: weights must name a checkpoint of an earlier stage")
    return bool(component_files(folder, name))


def _copy_others(source: Path, folder: Path, trained: Collection[str]) -> None:
    if source.resolve() == folder.resolve():
        return
    for name in COMPONENTS:
        if name not in trained:
            for file in component_files(source, name):
                target = folder / file.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
