"""A served checkpoint -> Networks, with flashtalk's own loader, and the sampler under test. Used by evaluate/studio.

The engine does the same for visitors (flashtalk/engine/build.py); training may not import the engine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from flashtalk.checkpoint import Checkpoint, DtypeOf, load_component, open_checkpoint
from flashtalk.config import CheckpointConfig, ModelConfig
from flashtalk.errors import CheckpointError, ConfigError
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.models.text_encoder import load_tokenizer
from flashtalk.ops.attention import select_attention
from flashtalk.pipeline.networks import Networks
from flashtalk.types import NoiseSource
from train.evaluate.guidance import Guidance, GuidedDiT

CODEC = "codec"


def pick_device(name: str) -> torch.device:
    """cpu, cuda or cuda:N. Raises ConfigError for a device that is not here."""
    device = torch.device(name if name in ("cpu", "cuda") or name.startswith("cuda:") else "meta")
    if device.type == "meta":
        raise ConfigError(f"device '{name}' is unknown; allowed are cpu, cuda and cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device '{name}' is not here: {torch.cuda.device_count()} CUDA devices are visible")
    return device


def open_weights(folder: Path) -> Checkpoint:
    """A folder in the served layout. Raises CheckpointError."""
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}; give the one that holds manifest.json")
    return open_checkpoint(CheckpointConfig(source=str(folder)))


def build_networks(
    model: ModelConfig, folder: Path, device: torch.device, dtype: torch.dtype, *, codec_from: Path | None = None
) -> Networks:
    """Networks with the weights of a folder, or with the codec of another. Raises CheckpointError, ConfigError."""
    checkpoint = open_weights(folder)
    codec = checkpoint if codec_from is None else open_weights(codec_from)
    modules = build_models_on_meta(model)
    for name, module in named_modules(modules):
        source = codec if name == CODEC else checkpoint
        load_component(module, source, name, device, _dtype_rule(module, name, dtype))
        module.eval().requires_grad_(False)
    tokenizer = load_tokenizer(model.text_encoder, checkpoint.folder)
    networks = Networks.join(model, modules, tokenizer, device, f"{model.name}-{checkpoint.digest[:16]}")
    networks.dit.set_attention(select_attention("auto", device, dtype)[1])
    return networks


@torch.inference_mode()
def guided_by(networks: Networks, guidance: Guidance, seed: int) -> tuple[Networks, NoiseSource]:
    """The networks and the noise of one session of a teacher; see GuidedDiT."""
    null_LD = networks.text_encoder.encode(guidance.null_prompt, networks.tokenizer)
    guided = GuidedDiT(networks.dit, null_LD.to(networks.dit.dtype), guidance, seed)
    return replace(networks, dit=guided.as_dit()), guided.noise


def _dtype_rule(module: nn.Module, name: str, dtype: torch.dtype) -> DtypeOf:
    """As the engine keeps them: the audio encoder in float32, and what the DiT asks for."""
    keeps = getattr(module, "keeps_float32", lambda _own: name == "audio_encoder")
    return lambda own: torch.float32 if keeps(own) else dtype
