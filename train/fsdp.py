"""Shards a network over the ranks (FSDP2): bf16 compute over float32 masters, checkpointing, compile by block.

Called by the training loops with networks on meta or with weights; train/weights.py fills the former. One rank goes
the same way: its one piece is the whole weight, and gathering it is the cast to bf16.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch._dynamo
from torch import nn
from torch.distributed._composable.checkpoint_activation import checkpoint
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

from flashtalk.models.dit import DiT
from train.ranks import Ranks

PREPARED = ("k", "norm_k", "v", "k_img", "norm_k_img", "v_img")
"""Of a block's cross attention: what `embed_context` runs, outside the block's forward."""
OTHER_ENTRIES = ("embed_time", "embed_context", "embed_audio")
COMPILED_VARIANTS = 64


@dataclass(frozen=True, kw_only=True)
class ShardConfig:
    """How a network is held and computed."""

    hold: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is for frozen networks (a teacher), and halves them; what is trained has float32 masters."""
    placement: Literal["shard", "replicate"] = "shard"
    """replicate: every rank holds the whole network and gradients are averaged. For small networks: the gathering of
    pieces would take longer than the computing."""
    compute: Literal["bfloat16", "float32"] = "bfloat16"
    checkpointing: bool = True
    """Recompute each block in backward instead of keeping what is inside; costs nothing without gradients."""
    compile: bool = False
    """torch.compile by block; one compilation for each shape."""

    @property
    def low(self) -> torch.dtype | None:
        """What gathered weights are cast to, None to leave them."""
        return torch.bfloat16 if self.compute == "bfloat16" else None


def shard(module: nn.Module, ranks: Ranks, config: ShardConfig, *, methods: Collection[str] = ()) -> nn.Module:
    """Shard `module` in place, by block if it is a DiT, else as one piece; gives it back.

    methods: names beside `forward` that compute with the weights (a codec's "encode", "decode"). All ranks must then
    call forward and these equally often and in the same order. Parameters become DTensors under unchanged names;
    whether they require gradients is settled by the caller before.
    """
    if config.hold == "bfloat16":
        _hold_low(module)
    # In-place changes of an output are what it warns of; nobody here makes them, and every chunk would be told.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    if config.compile:
        # One code object serves all blocks of all networks: sizes, with and without gradients, each is a variant.
        torch._dynamo.config.recompile_limit = max(COMPILED_VARIANTS, torch._dynamo.config.recompile_limit)
    if config.placement == "replicate":
        _replicate(module, config)
        return module
    if isinstance(module, DiT):
        _shard_dit(module, ranks, config)
        methods = OTHER_ENTRIES
    else:
        _group(module, ranks, config.low, cast_inputs=True)
    for name in methods:
        register_fsdp_forward_method(module, name)
    return module


@contextmanager
def computing(config: ShardConfig, device: torch.device) -> Iterator[None]:
    """Where networks compute: whole ones have no gathering that casts their weights, so autocast does it."""
    low = config.placement == "replicate" and config.compute == "bfloat16" and device.type == "cuda"
    with torch.autocast(device.type, torch.bfloat16, enabled=low):
        yield


def _hold_low(module: nn.Module) -> None:
    trained = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    assert not trained, f"{trained[:3]} require gradients: bf16 masters do not learn, updates vanish in the rounding"
    keeps = getattr(module, "keeps_float32", lambda _name: False)
    for name, parameter in module.named_parameters():
        if not keeps(name):
            parameter.data = parameter.data.to(torch.bfloat16)


def _replicate(module: nn.Module, config: ShardConfig) -> None:
    for block in module.blocks if isinstance(module, DiT) else ():
        if config.checkpointing:
            checkpoint(block, preserve_rng_state=False)
        if config.compile:
            block.compile(dynamic=False)


def _shard_dit(dit: DiT, ranks: Ranks, config: ShardConfig) -> None:
    """Blocks, large pieces, and the root with what must stay float32.

    The root comes first, and takes only the modulations out of all modules: the groups of the blocks are cast to bf16
    as a whole, and a modulation is a parameter of the block itself. The keys and values that `embed_context` and
    `embed_audio` prepare are groups of their own: they run before the blocks, and by far fewer weights.
    """
    modulations = set(_modulations(dit))
    _group(dit, ranks, None, ignored={p for p in dit.parameters() if p not in modulations})
    modulations = set(_modulations(dit))
    for block in dit.blocks:
        _group([getattr(block.cross_attn, name) for name in PREPARED], ranks, config.low)
        _group(block.audio_cross_attn.kv_linear, ranks, config.low)
        if config.checkpointing:
            checkpoint(block, preserve_rng_state=False)
        _group(block, ranks, config.low, ignored=modulations)
        if config.compile:
            block.compile(dynamic=False)
    _group([dit.time_embedding, dit.time_projection], ranks, None)
    # Rows and latents come in float32: entries cast them, as the engine's callers do. Blocks and head get the time in
    # float32 and must see it so.
    for entry in (dit.patch_embedding, dit.text_embedding, dit.img_emb, dit.audio_proj):
        _group(entry, ranks, config.low, cast_inputs=True)
    _group(dit.head, ranks, config.low, ignored=modulations)


def _group(
    modules: nn.Module | list[nn.Module],
    ranks: Ranks,
    low: torch.dtype | None,
    *,
    cast_inputs: bool = False,
    ignored: set[nn.Parameter] | None = None,
) -> None:
    # The root reshards too: one that stays gathered after a forward without gradients computes with old weights later.
    policy = _policy(low, cast_inputs=cast_inputs)
    fully_shard(modules, mesh=ranks.mesh, reshard_after_forward=True, mp_policy=policy, ignored_params=ignored)


def _policy(low: torch.dtype | None, *, cast_inputs: bool) -> MixedPrecisionPolicy:
    return MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=cast_inputs)


def _modulations(dit: DiT) -> Iterator[nn.Parameter]:
    return (parameter for name, parameter in dit.named_parameters() if name.endswith("modulation"))
