"""How much memory a training run needs on each GPU, before any is rented: counted on meta tensors, nothing computed.

Called by the command `train.plan` and by tests against the training facts' section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from flashtalk.config import DiTConfig, ModelConfig
from flashtalk.config_codec import LightCodecConfig
from flashtalk.models.blocks import DiTBlock
from flashtalk.models.build import build_codec
from flashtalk.models.dit import DiT
from flashtalk.models.rope import Positions
from flashtalk.types import BlockContext, Grid, KeyValue, TokenLayout
from train.fsdp import PREPARED
from train.ranks import MOST_IN_ONE_SHARD_GROUP

GB = 1e9
IN_FLIGHT = 3
"""Gathered blocks at a time: the one that computes, the next, and one whose memory is being handed back."""
BACKWARD_SHARE = 0.5
"""Gradients of activations that live beside a block's activations, as a share of those."""
CONTEXT_BYTES = 2.5e9
"""CUDA context, cuBLAS workspaces, NCCL buffers."""
DECODE_LAYERS = 6
"""Full-resolution feature maps that a codec's decoder holds at its peak."""


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a network is in a run: trained ones have masters, moments, gradients; frozen ones are bf16."""

    trained: bool = True
    ema: bool = False
    moments_bytes: int = 8
    """Both moments of Adam, a parameter: 8, or 4 in bf16."""


SFT: Mapping[str, Role] = {"student": Role(ema=True)}
DMD: Mapping[str, Role] = {"student": Role(ema=True), "fake": Role(), "teacher": Role(trained=False)}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What one micro-batch of one GPU is."""

    width: int = 768
    height: int = 448
    frames: int = 33
    batch: int = 1
    checkpointing: bool = True


Phase = Literal["kept", "forward", "backward", "decode"]
"""When memory is needed: all the time; in every pass; in a backward; when a rollout hands over through the codec."""


@dataclass(frozen=True)
class Item:
    """One line: bytes on each GPU, and when."""

    name: str
    bytes: float
    phase: Phase


@dataclass(frozen=True)
class MemoryPlan:
    """The lines and their sums."""

    parameters: int
    shards: int
    items: tuple[Item, ...] = field(repr=False)

    @property
    def kept_bytes(self) -> float:
        """What lies there between iterations, gradients included."""
        return self._sum("kept")

    @property
    def peak_bytes(self) -> float:
        """The most at any time: a rollout decodes when no backward runs."""
        return self._sum("kept") + self._sum("forward") + max(self._sum("backward"), self._sum("decode"))

    def table(self) -> str:
        """For people."""
        rows: list[tuple[str, float, str]] = [(item.name, item.bytes, item.phase) for item in self.items]
        rows += [("kept", self.kept_bytes, "always"), ("peak", self.peak_bytes, "at most")]
        width = max(len(name) for name, _, _ in rows)
        head = f"{self.parameters / 1e9:.2f} B parameters over {self.shards} GPUs; GB (1e9 bytes) on each"
        lines = [f"{name:<{width}}  {size / GB:8.2f}  {phase}" for name, size, phase in rows]
        return "\n".join([head, *lines[:-2], "-" * (width + 20), *lines[-2:]])

    def _sum(self, phase: Phase) -> float:
        return sum(item.bytes for item in self.items if item.phase == phase)


def memory_plan(
    model: ModelConfig, roles: Mapping[str, Role], world: int, sizes: Sizes | None = None, *, codec: bool = True
) -> MemoryPlan:
    """Bytes on each of `world` GPUs. roles: SFT, DMD or other; codec: whether it stays there (stage 2 hands over)."""
    sizes = sizes or Sizes()
    shards = world if world <= MOST_IN_ONE_SHARD_GROUP else 8
    counts = _count(model.dit)
    items = [*_kept(counts, roles, shards), *_gathered(counts, shards), *_activations(model, counts, sizes)]
    if codec:
        items.append(Item("codec and its workspace", _codec_bytes(model, sizes), "decode"))
    items.append(Item("CUDA context and libraries", CONTEXT_BYTES, "forward"))
    return MemoryPlan(counts.all, shards, tuple(items))


@dataclass(frozen=True)
class _Counts:
    """Parameters: of the network, those that stay float32, of a block's group, of the largest piece beside blocks."""

    all: int
    float32: int
    blocks: int
    block: int
    entry_bytes: int


def _count(config: DiTConfig) -> _Counts:
    with torch.device("meta"):
        dit = DiT(config)
    sizes = {name: parameter.numel() for name, parameter in dit.named_parameters()}
    prepared = (*(f"blocks.0.cross_attn.{name}." for name in PREPARED), "blocks.0.audio_cross_attn.kv_linear")
    block = [n for n in sizes if n.startswith("blocks.0.") and not n.startswith(prepared)]
    entries = [_size(module) * (4 if name.startswith("time") else 2) for name, module in dit.named_children()]
    return _Counts(
        all=sum(sizes.values()),
        float32=sum(count for name, count in sizes.items() if DiT.keeps_float32(name)),
        blocks=config.num_layers,
        block=sum(sizes[name] for name in block),
        entry_bytes=max(
            entry for entry, name in zip(entries, dict(dit.named_children()), strict=True) if name != "blocks"
        ),
    )


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _kept(counts: _Counts, roles: Mapping[str, Role], shards: int) -> list[Item]:
    items = []
    for name, role in roles.items():
        if not role.trained:
            low = 2 * (counts.all - counts.float32) + 4 * counts.float32
            items.append(Item(f"{name}: weights in bf16", low / shards, "kept"))
            continue
        items.append(Item(f"{name}: float32 masters", 4 * counts.all / shards, "kept"))
        items.append(Item(f"{name}: Adam's moments", role.moments_bytes * counts.all / shards, "kept"))
        if role.ema:
            items.append(Item(f"{name}: EMA", 4 * counts.all / shards, "kept"))
    # Gradients are freed after each update, so that two trained networks never have theirs together.
    return [*items, Item("gradients, of one network at a time", 4 * counts.all / shards, "kept")]


def _gathered(counts: _Counts, shards: int) -> list[Item]:
    """Whole blocks in bf16, their gradients, and the float32 buffers in which gradients are reduced."""
    if shards == 1:
        return [Item("blocks cast to bf16, their gradients", counts.block * (2 * 2 + 2 + 4), "backward")]
    return [
        Item(f"gathered blocks, {IN_FLIGHT} in flight", 2 * counts.block * IN_FLIGHT, "forward"),
        Item("a block's gradients and reduce buffers", counts.block * (2 + 2 * 4), "backward"),
        Item("gathered entries and head", counts.entry_bytes, "forward"),
    ]


def _activations(model: ModelConfig, counts: _Counts, sizes: Sizes) -> list[Item]:
    grid = _grid(model, sizes)
    inside = _saved_by_block(model.dit, grid, sizes)
    tokens = 2 * sizes.batch * grid.tokens * model.dit.dim
    rows = _context_bytes(model.dit, grid, sizes)
    if not sizes.checkpointing:
        return [
            Item("prepared keys and values", rows, "backward"),
            Item("activations of all blocks", counts.blocks * inside, "backward"),
        ]
    return [
        Item("prepared keys and values", rows, "backward"),
        Item("inputs of the blocks (checkpoints)", counts.blocks * tokens, "backward"),
        Item("a block computed again, and backward", inside * (1 + BACKWARD_SHARE), "backward"),
    ]


def _grid(model: ModelConfig, sizes: Sizes) -> Grid:
    stride, cell = model.codec.temporal_stride, model.codec.spatial_stride
    latents = 1 + (sizes.frames - 1) // stride
    return Grid(latents, sizes.height // cell, sizes.width // cell, model.dit.patch_size)


def _context_bytes(dit: DiTConfig, grid: Grid, sizes: Sizes) -> float:
    """Keys and values of text, picture and sound for all blocks: in bf16, normed keys in float32 for their backward."""
    rows = dit.text_len + 257
    audio = grid.token_shape[0] * dit.audio_tokens
    return sizes.batch * dit.num_layers * dit.dim * (rows * (2 * 2 + 2 + 4) + audio * 2 * 2)


class _Attend(torch.autograd.Function):
    """What a fused kernel keeps for its backward: q, k, v and the result."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out)
        return out

    @staticmethod
    def backward(_ctx: Any, *_gradients: Any) -> Any:
        raise AssertionError("only the forward is counted")


def _attend(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
    return _Attend.apply(q_BLNE, k_BLNE, v_BLNE)  # type: ignore[no-any-return]


def _saved_by_block(config: DiTConfig, grid: Grid, sizes: Sizes) -> float:
    """Bytes that one block's forward keeps for its backward, weights apart; run on meta."""
    with torch.device("meta"):
        block = DiTBlock(replace(config, num_layers=1)).to(torch.bfloat16)
        inputs = _block_inputs(config, grid, sizes)
    for attention in (block.self_attn, block.cross_attn, block.audio_cross_attn):
        attention.attend = _attend
    own = {parameter.untyped_storage()._cdata for parameter in block.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # an address may be used again only when its tensor is gone

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        block(*inputs)
    return float(sum(kept.values()))


def _block_inputs(config: DiTConfig, grid: Grid, sizes: Sizes) -> tuple[Any, ...]:
    heads, low, batch = (config.num_heads, config.head_dim), torch.bfloat16, sizes.batch

    def rows(*count: int) -> KeyValue:
        return KeyValue(*(torch.empty(batch, *count, *heads, dtype=low) for _ in range(2)))

    layout = TokenLayout.whole(grid)
    angles = torch.empty(grid.tokens, 1, config.head_dim // 2)
    tokens = torch.empty(batch, grid.tokens, config.dim, dtype=low, requires_grad=True)
    modulation = torch.empty(batch, 6, config.dim, requires_grad=True)
    context = BlockContext(rows(config.text_len), rows(257))
    audio = rows(grid.token_shape[0], config.audio_tokens)
    return tokens, modulation, Positions(layout, angles, angles), context, audio


def _codec_bytes(model: ModelConfig, sizes: Sizes) -> float:
    """float32 weights, and the last feature maps: of one latent frame at a time, of the whole chunk if light."""
    with torch.device("meta"):
        weights = 4 * _size(build_codec(model))
    config, pixels = model.codec, sizes.batch * sizes.width * sizes.height
    if isinstance(config, LightCodecConfig):
        maps = sizes.frames * pixels / config.pixel_patch**2 * config.decoder_widths[-1]
    else:
        maps = config.temporal_stride * pixels * 2 * config.base_dim
    return weights + 4 * DECODE_LAYERS * maps
