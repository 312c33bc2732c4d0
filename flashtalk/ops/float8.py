"""8-bit floating point (e4m3) by rows: quantising, and the product of two such matrices. Called by engine/quantize.py.

A row of activations and an output row of weights have one scale each, so the product is exact up to the two roundings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FLOAT8 = torch.float8_e4m3fn
FLOAT8_MAX = 448.0
SMALLEST = 1e-12
"""Of the largest number of a row: a row of zeros stays one."""


def quantize_rows(x_LD: Tensor) -> tuple[Tensor, Tensor]:
    """x -> (x / scale in e4m3, scale_L1 in float32) with the largest number of each row at FLOAT8_MAX.

    Plain operations: a compiler joins them to what makes x, so that x itself is never written.
    """
    wide = x_LD.float()
    scale_L1 = wide.abs().amax(-1, keepdim=True).clamp(min=SMALLEST) / FLOAT8_MAX
    return (wide / scale_L1).to(FLOAT8), scale_L1


def multiply(a_LD: Tensor, scale_L1: Tensor, b_CD: Tensor, scale_C: Tensor, bias_C: Tensor | None) -> Tensor:
    """(a scale) (b scale)^T + bias in bfloat16, a and b in e4m3: tensor cores of Hopper, with their fast accumulation.

    D and C must be multiples of 16 (torch's row-wise kernel).
    """
    scales = {"scale_a": scale_L1, "scale_b": scale_C[None]}
    bias = None if bias_C is None else bias_C.bfloat16()
    return torch._scaled_mm(a_LD, b_CD.t(), **scales, bias=bias, out_dtype=torch.bfloat16, use_fast_accum=True)


def why_not_float8(device: torch.device) -> str:
    """Why `multiply` cannot run on `device`; empty if it can, or if its twin runs there."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (9, 0):
        return "8-bit products by rows need a GPU of compute capability 9.0 (Hopper)"
    return ""


def multiply_plain(a_LD: Tensor, scale_L1: Tensor, b_CD: Tensor, scale_C: Tensor, bias_C: Tensor | None) -> Tensor:
    """The twin of `multiply` for any device, in float32: widened, multiplied, scaled."""
    product = F.linear(a_LD.float(), b_CD.float()) * scale_L1 * scale_C
    return product if bias_C is None else product + bias_C.float()
