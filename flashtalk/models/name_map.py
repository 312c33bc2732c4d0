"""How published tensors land in our modules: one table per component.

Written by the encoder adapters of this folder, read by flashtalk/checkpoint.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn


def identity(tensor: Tensor) -> Tensor:
    """The tensor as it is."""
    return tensor


@dataclass(frozen=True)
class Target:
    """Parameter `name` of a module receives pick(published tensor)."""

    name: str
    pick: Callable[[Tensor], Tensor] = identity


NameMap = Mapping[str, tuple[Target, ...]]
"""Published tensor name -> where it goes. An empty tuple: known but not used here, so it may be absent from a file.
Several published names may share a target (spellings of different releases): a file holds one of them."""


def identity_map(module: nn.Module) -> NameMap:
    """The map of a module whose own names are the published ones."""
    return {name: (Target(name),) for name in module.state_dict()}
