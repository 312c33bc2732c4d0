"""Counts what a computation costs by running it on the meta device: no weights, no memory, no waiting. Used by plan.py.

The networks' own code is what is counted, so that a plan cannot drift from what the engine does.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

KINDS = {"conv": "conv", "scaled_mm": "float8", "attend_float8": "attention8"}
"""By a word in the name of torch's operation; other products are linear."""


@dataclass(frozen=True)
class Work:
    """Floating-point operations (a multiplication and an addition are two) and bytes.

    linear: products of matrices; attention: softmax(q k^T) v; float8, attention8: those in 8 bits; conv: convolutions,
    their borders counted as full.
    moved_bytes: read and written by all other operations, each by itself, as an uncompiled program does.
    handed_bytes: what products, attention and convolutions take from and give to other operations (not weights): of
    moved_bytes a compiled program, which joins the operations in between, keeps about so much.
    peak_bytes: most memory alive at one time, beyond what was there before.
    """

    linear: int = 0
    attention: int = 0
    conv: int = 0
    moved_bytes: int = 0
    handed_bytes: int = 0
    peak_bytes: int = 0
    float8: int = 0
    attention8: int = 0

    @property
    def flops(self) -> int:
        """All kinds together."""
        return self.linear + self.attention + self.conv + self.float8 + self.attention8

    def __add__(self, other: Work) -> Work:
        """One after the other."""
        peak = max(self.peak_bytes, other.peak_bytes)
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Work(**sums | {"peak_bytes": peak})

    def times(self, count: int) -> Work:
        """The same again and again."""
        return Work(**{f.name: count * getattr(self, f.name) for f in fields(self)} | {"peak_bytes": self.peak_bytes})


class WorkCounter:
    """A context in which operations on meta tensors are counted, under the name of the innermost `span`."""

    def __init__(self) -> None:
        self.stages: dict[str, Work] = {}
        self._stage = ""
        self._live_bytes = 0
        self._alive: dict[int, weakref.ref[Any]] = {}
        self._modes = ExitStack()

    def __enter__(self) -> WorkCounter:
        self._modes.enter_context(_Attention(self))
        self._modes.enter_context(_Operations(self))
        return self

    def __exit__(self, *_error: object) -> None:
        self._modes.close()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Count what runs inside under `name`."""
        outer, self._stage = self._stage, name
        self.add()
        yield
        self._stage = outer

    def add(self, **work: int) -> None:
        """Add to the present stage."""
        before = self.stages.get(self._stage, Work())
        self.stages[self._stage] = before + Work(**work, peak_bytes=self._live_bytes)

    def follows(self, tensor: Tensor) -> bool:
        """Whether the tensor was made here; weights were there before."""
        return tensor.untyped_storage()._cdata in self._alive

    def follow(self, tensor: Tensor) -> None:
        """Count a tensor's memory until it is let go."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._live_bytes += size
        self.add()

        def release(_storage: object) -> None:
            self._live_bytes -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, release)


class _Attention(TorchFunctionMode):
    """Attention as fast kernels do it: the scores are never in memory."""

    def __init__(self, counter: WorkCounter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args[:3]
        flops = 2 * query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        self._counter.add(attention=flops, handed_bytes=sum(t.nbytes for t in (query, key, value, out)))
        return out


class _Operations(TorchDispatchMode):
    """Everything else, below torch's own functions."""

    def __init__(self, counter: WorkCounter) -> None:
        super().__init__()
        self._counter = counter

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs, outputs = _meta_tensors((args, kwargs)), _meta_tensors(result)
        before = {tensor.untyped_storage()._cdata for tensor in inputs}
        fresh = [tensor for tensor in outputs if tensor.untyped_storage()._cdata not in before]
        for tensor in fresh:
            self._counter.follow(tensor)
        packet = func._overloadpacket
        if packet in flop_registry:
            kind = next((kind for word, kind in KINDS.items() if word in packet.__name__), "linear")
            flops = flop_registry[packet](*args, **(kwargs or {}), out_val=result)
            handed = sum(tensor.nbytes for tensor in (*inputs, *outputs) if self._counter.follows(tensor))
            self._counter.add(**{kind: flops}, handed_bytes=handed)
        elif func._schema.is_mutable or (fresh and not packet.__name__.startswith("empty")):
            self._counter.add(moved_bytes=sum(map(_touched_bytes, (*inputs, *outputs))))
        return result


def _meta_tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.is_meta]


def _touched_bytes(tensor: Tensor) -> int:
    """An expanded tensor is as large as its memory."""
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())
