"""Config -> Networks, in a fixed order: meta, weights, fast path, attention, ranks, compile, capture.

Called by engine.py. Each concern is a line or two in `build_networks`, attached from outside.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import nn

from flashtalk.checkpoint import Checkpoint, DtypeOf, init_component, load_component, open_checkpoint
from flashtalk.config import CheckpointConfig, Config, ModelConfig, RuntimeConfig
from flashtalk.config_file import load_model_config, to_tree
from flashtalk.engine.compile_cache import keep_compiled
from flashtalk.engine.device import pick_device, pick_dtype
from flashtalk.engine.fast import make_fast
from flashtalk.engine.graphs import graph_sound
from flashtalk.engine.ranks import holds_weights, parallelise
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.models.dit import DiT
from flashtalk.models.light_codec import LightCodec
from flashtalk.models.text_encoder import ByteTokenizer, Tokenizer, load_tokenizer
from flashtalk.ops.attention import select_kernels
from flashtalk.parallel.groups import Ranks
from flashtalk.pipeline.networks import Networks

COMPILED_SHAPES = 256
"""What torch bears of one piece of code at most; left to itself it refuses the ninth. Each size of picture on offer
needs four: a first chunk or a later one, a short prompt or a long one."""


def build_networks(config: Config, ranks: Ranks | None = None) -> Networks:
    """All of it, ready to compute, on this process alone or as its part of a group. ConfigError, CheckpointError."""
    device = ranks.device if ranks else pick_device(config.runtime.device)
    dtype = pick_dtype(config.runtime.dtype, device)
    checkpoint = open_checkpoint(config.checkpoint) if config.checkpoint.source else None
    modules = build_models_on_meta(config.model, preview=config.runtime.decoder == "preview")
    for name, module in named_modules(modules):
        if holds_weights(name, ranks):
            _fill(module, name, checkpoint, config.checkpoint.init_seed, device, dtype)
        lay_out(module, dtype)
    make_fast(modules, config.runtime)
    tokenizer, fingerprint = _tokenizer(config.model, checkpoint), _fingerprint(config, checkpoint, dtype)
    networks = Networks.join(config.model, modules, tokenizer, device, fingerprint, config.runtime)
    kernels = select_kernels(config.runtime.attention, device, dtype)
    networks.dit.set_attention(kernels.cross, own=kernels.own)
    networks = parallelise(networks, config, ranks)
    if config.runtime.compile:
        keep_compiled(config.runtime.compile_cache)
        apply_compile(networks.dit)
    return graph_sound(networks) if config.runtime.cuda_graphs else networks


def from_pretrained(
    source: str | Path,
    revision: str | None = None,
    *,
    model: str | Path = "flashtalk-14b",
    runtime: RuntimeConfig | None = None,
) -> Networks:
    """Networks of a published or converted checkpoint: a folder, or a hub id with the commit to use."""
    checkpoint = CheckpointConfig(source=str(source), revision=revision)
    runtime = runtime or RuntimeConfig()
    return build_networks(Config(model=load_model_config(model), runtime=runtime, checkpoint=checkpoint))


def apply_compile(dit: DiT) -> None:
    """Compile each block by itself: all have the same code and shapes, so one compilation serves them all."""
    for block in dit.blocks:
        block.compile(fullgraph=True, dynamic=False)
    dit.register_forward_pre_hook(lambda _module, _inputs: _allow_shapes())


def _allow_shapes() -> None:
    # Before every step: a value set here counts for the thread that set it, and any thread may compute.
    torch._dynamo.config.recompile_limit = COMPILED_SHAPES


def lay_out(module: nn.Module, dtype: torch.dtype) -> None:
    """Channels last for 2-D convolutions in half precision: a quarter less time on a CPU (in float32 a third more)."""
    if isinstance(module, LightCodec) and dtype != torch.float32:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fill(
    module: nn.Module,
    name: str,
    checkpoint: Checkpoint | None,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    dtype_of = dtype_rule(module, name, dtype)
    if checkpoint is None:
        init_component(module, seed, device, dtype_of)
    else:
        load_component(module, checkpoint, name, device, dtype_of)
    module.eval().requires_grad_(False)


def dtype_rule(module: nn.Module, name: str, dtype: torch.dtype) -> DtypeOf:
    """Which weights stay float32: the audio encoder (small, and lips hang on it) and what the DiT asks for."""
    if name == "audio_encoder":
        return lambda _name: torch.float32
    keeps = getattr(module, "keeps_float32", lambda _name: False)
    return lambda own: torch.float32 if keeps(own) else dtype


def _tokenizer(config: ModelConfig, checkpoint: Checkpoint | None) -> Tokenizer:
    if checkpoint is None:
        # Random weights have no vocabulary: bytes do, and need no files.
        return ByteTokenizer(config.text_encoder.max_tokens)
    return load_tokenizer(config.text_encoder, checkpoint.folder)


def _fingerprint(config: Config, checkpoint: Checkpoint | None, dtype: torch.dtype) -> str:
    weights = checkpoint.digest if checkpoint else f"untrained-{config.checkpoint.init_seed}"
    runtime = config.runtime
    precision = str(dtype) if runtime.linears == "plain" else f"{dtype}, {runtime.linears}"
    if runtime.rounds_attention:
        precision += f", {runtime.attention}"
    tree = json.dumps([to_tree(config.model), weights, precision, runtime.decoder], sort_keys=True)
    return f"{config.model.name}-{hashlib.sha256(tree.encode()).hexdigest()[:16]}"
