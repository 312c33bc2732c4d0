"""Swaps linears of the transformer's blocks for 8-bit ones, by name, once the weights are there. Called by fast.py."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from flashtalk.errors import EngineError
from flashtalk.ops.float8 import multiply, multiply_plain, quantize_rows

BLOCK_LINEARS = (
    "blocks.*.self_attn.qkv",
    "blocks.*.self_attn.[qkvo]",
    "blocks.*.cross_attn.[qo]",
    "blocks.*.audio_cross_attn.q_linear",
    "blocks.*.audio_cross_attn.proj",
    "blocks.*.ffn.[02]",
)
"""What runs over all tokens in each step. All else stays as it is: it is small, or runs once a session or chunk, or
(embeddings, modulation, head, norms) the picture hangs on its precision."""

SIDE = 16
"""Both sides of a matrix must be multiples of it for the 8-bit kernel."""


class Float8Linear(nn.Module):
    """A linear with e4m3 weights, one scale an output row; activations are quantised by rows as they come."""

    weight_CD: Tensor
    scale_C: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight_CD, scale_C1 = quantize_rows(linear.weight)
        self.weight_CD = nn.Parameter(weight_CD, requires_grad=False)
        self.register_buffer("scale_C", scale_C1.flatten())
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features] in the dtype of x."""
        rows, scale_L1 = quantize_rows(x.flatten(0, -2))
        product = multiply_plain if x.device.type == "cpu" else multiply
        out = product(rows, scale_L1, self.weight_CD, self.scale_C, self.bias)
        return out.to(x.dtype).unflatten(0, x.shape[:-1])


@dataclass(frozen=True)
class QuantizeReport:
    """What was swapped, by name, and bytes of its weights before and after."""

    names: tuple[str, ...]
    before_bytes: int
    after_bytes: int


def quantize_linears(
    module: nn.Module, patterns: Sequence[str] = BLOCK_LINEARS, *, keep: Callable[[str], bool] = lambda _name: False
) -> QuantizeReport:
    """Swap each nn.Linear whose name matches a pattern, unless `keep(name)`; in place, one at a time.

    Raises EngineError if there is none, or one that the 8-bit kernel cannot run: nothing is left out silently.
    """
    found = {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, nn.Linear) and any(fnmatch.fnmatchcase(name, p) for p in patterns) and not keep(name)
    }
    _check(found, patterns)
    names, before_bytes = tuple(found), sum(linear.weight.nbytes for linear in found.values())
    # Taken out of `found` one by one: what it holds stays in memory beside its 8-bit twin.
    swapped = [_swap(module, name, found.pop(name)) for name in names]
    after_bytes = sum(linear.weight_CD.nbytes + linear.scale_C.nbytes for linear in swapped)
    return QuantizeReport(names, before_bytes, after_bytes)


def _swap(module: nn.Module, name: str, linear: nn.Linear) -> Float8Linear:
    parent, _, leaf = name.rpartition(".")
    quantized = Float8Linear(linear)
    setattr(module.get_submodule(parent), leaf, quantized)
    return quantized


def _check(found: dict[str, nn.Linear], patterns: Sequence[str]) -> None:
    if not found:
        raise EngineError(f"no linear to quantise matches {', '.join(patterns)}", code="quantize_nothing")
    odd = [name for name, one in found.items() if one.in_features % SIDE or one.out_features % SIDE]
    if odd:
        raise EngineError(
            f"8-bit products need sides that are multiples of {SIDE}, which these are not: {', '.join(odd)}; "
            "use runtime.linears: plain",
            code="quantize_size",
        )
