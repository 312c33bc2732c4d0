"""Full weights <-> the pieces of sharded networks, tensor by tensor: drawn, read from a checkpoint, exported.

Called by the training loops and by train/states.py. No rank ever holds a whole network, but the first at an export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from flashtalk.checkpoint import (
    Checkpoint,
    DtypeOf,
    assign,
    check_names,
    names_of,
    published_shapes,
    save_component,
)
from flashtalk.models.name_map import Target, identity
from flashtalk.ops.seeds import mixed_seed
from train.ranks import SHARD, Ranks

Draw = Callable[[str, torch.Size, torch.Generator], Tensor]
"""draw(name, shape, generator) -> the first values of a tensor, float32 on the generator's device."""
ReadRows = Callable[[int, int], Tensor]
"""read(start, end) -> rows [start, end) of the full tensor."""


def fill_random(module: nn.Module, seed: int, device: torch.device, draw: Draw | None = None) -> None:
    """Draw the weights of a network, on meta or not; the same numbers for any number of ranks."""
    draw = draw or draw_weights
    _allocate(module, device)
    generator = torch.Generator(device)
    for name, tensor in module.state_dict().items():
        generator.manual_seed(mixed_seed(seed, name))
        put_rows(tensor, _rows_of(draw(name, tensor.shape, generator)))


def draw_weights(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Wan's way: Xavier for matrices, small embeddings, an output head of zeros, norms of one, biases of zero."""
    device, leaf, wide = generator.device, name.rpartition(".")[2], [n for n in shape if n > 1]
    if leaf == "bias" or name == "head.head.weight":
        return torch.zeros(shape, device=device)
    if leaf in ("gamma", "original0") or (leaf == "weight" and len(wide) < 2):
        return torch.ones(shape, device=device)
    drawn = torch.randn(shape, generator=generator, device=device)
    if leaf == "modulation":
        return drawn / shape[-1] ** 0.5
    if leaf.endswith("embedding") or name.startswith(("text_embedding", "time_embedding")):
        return 0.02 * drawn
    return drawn * (2 / (shape[1:].numel() + shape[0] * shape[2:].numel())) ** 0.5


def fill_from_checkpoint(module: nn.Module, checkpoint: Checkpoint, component: str, device: torch.device) -> None:
    """Read a network's weights, on meta or not; each rank reads the rows that it holds. Raises CheckpointError."""
    name_map, prefix = names_of(module)
    sources = published_shapes(checkpoint.files(component), prefix)
    check_names(component, module, (pair for names in sources.values() for pair in names.items()))
    _allocate(module, device)
    own = module.state_dict()
    for file, names in sources.items():
        with safe_open(file, framework="pt") as reader:
            for name in names:
                for target in name_map[name]:
                    put_rows(own[target.name], _published_rows(reader, prefix + name, target))


@torch.no_grad()
def take_fitting(module: nn.Module, checkpoint: Checkpoint, component: str) -> int:
    """Replace those tensors of a filled network that the checkpoint holds in the same shape; gives how many.

    For a warm start from a relative: another codec's latents change the ends of a transformer, not its blocks.
    """
    name_map, prefix = names_of(module)
    own, taken = module.state_dict(), 0
    for file, names in published_shapes(checkpoint.files(component), prefix).items():
        with safe_open(file, framework="pt") as reader:
            pairs = [(name, target) for name in names for target in name_map.get(name, ())]
            for name, target in pairs:
                full = target.pick(reader.get_tensor(prefix + name))
                if full.shape == own[target.name].shape:
                    put_rows(own[target.name], _rows_of(full))
                    taken += 1
    return taken


def own_rows(tensor: Tensor) -> tuple[int, int]:
    """Which rows of the first dimension this rank holds, [start, end): all of a tensor that is not sharded."""
    if not isinstance(tensor, DTensor):
        return 0, tensor.shape[0] if tensor.ndim else 1
    rows, mesh = tensor.shape[0], tensor.device_mesh
    pieces = mesh[SHARD].size()
    step = -(-rows // pieces)
    start = min(rows, mesh.get_local_rank(SHARD) * step)
    return start, min(rows, start + step)


def own_piece(tensor: Tensor) -> Tensor:
    """The plain tensor of these rows, sharing memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def put_rows(tensor: Tensor, read: ReadRows) -> None:
    """Fill this rank's piece of `tensor`."""
    start, end = own_rows(tensor)
    piece = own_piece(tensor.detach())
    if piece.numel():
        piece.copy_(read(start, end).view_as(piece))


def full_tensors(module: nn.Module, ranks: Ranks) -> Iterator[tuple[str, Tensor]]:
    """Names and whole tensors on the first rank's CPU, one after the other; all ranks must run through it together.

    Other ranks get tensors without elements.
    """
    for name, tensor in module.state_dict().items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        yield name, full.detach().cpu() if ranks.is_first else torch.empty(0)


def export_component(
    module: nn.Module, ranks: Ranks, folder: Path, component: str, shell: nn.Module, dtype_of: DtypeOf
) -> Path | None:
    """Write a network as the engine reads it, rounded once from its masters; gives the file on the first rank.

    shell: the same network on meta, to be filled and written. Call flashtalk.checkpoint.write_manifest when all
    components are there. All ranks must call it. Raises CheckpointError.
    """
    tensors = full_tensors(module, ranks)
    if not ranks.is_first:
        for _ in tensors:
            pass
        return None
    fill_shell(shell, tensors, dtype_of)
    return save_component(shell, folder, component)


def fill_shell(shell: nn.Module, tensors: Iterator[tuple[str, Tensor]], dtype_of: DtypeOf) -> None:
    """Give a network on meta its full tensors, each in the dtype it is stored in."""
    missing = set(shell.state_dict())
    for name, tensor in tensors:
        assign(shell, name, tensor.to(dtype_of(name)))
        missing.remove(name)
    assert not missing, f"{sorted(missing)[:5]} were never filled"


def stored_dtype(module: nn.Module, low: torch.dtype = torch.bfloat16) -> DtypeOf:
    """How an export stores each tensor: `low`, but float32 what the network computes in float32."""
    keeps = getattr(module, "keeps_float32", lambda _name: False)
    return lambda name: torch.float32 if keeps(name) else low


def _allocate(module: nn.Module, device: torch.device) -> None:
    if any(tensor.is_meta for tensor in module.state_dict().values()):
        module.to_empty(device=device)


def _rows_of(full: Tensor) -> ReadRows:
    return lambda start, end: full[start:end] if full.ndim else full


def _published_rows(reader: safe_open, name: str, target: Target) -> ReadRows:
    if target.pick is not identity:
        return lambda start, end: target.pick(reader.get_tensor(name))[start:end]
    shape = reader.get_slice(name).get_shape()
    if not shape:
        return lambda _start, _end: reader.get_tensor(name)
    return lambda start, end: reader.get_slice(name)[start:end]
