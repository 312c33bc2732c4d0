"""Attention kernels by name. Engines choose one (`select_attention`) and hand the function to the models.

To add a kernel: write `load()` and `why_not()` and add a line to BACKENDS; the parity test finds it by itself.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from flashtalk.errors import ConfigError
from flashtalk.ops.float8_attention_triton import load_float8
from flashtalk.types import Attend


@dataclass(frozen=True)
class Backend:
    """One kernel: how to get its function, and why it cannot run (device, dtype), empty if it can."""

    load: Callable[[], Attend]
    why_not: Callable[[torch.device, torch.dtype], str]
    rounds: bool = False
    """In 8 bits: an approximation, and for self-attention alone. With few keys there is nothing to gain."""


@dataclass(frozen=True)
class Kernels:
    """The kernel of self-attention and that of the attentions to text, picture and sound."""

    own: Attend
    cross: Attend


def attend_sdpa(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
    """The plain twin of every other kernel: torch's scaled_dot_product_attention, kernel of torch's choice."""
    q, k, v = (x.transpose(1, 2) for x in (q_BLNE, k_BLNE, v_BLNE))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def attend_weighted(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor, weight_L: Tensor) -> Tensor:
    """Attention where key l counts exp(weight_l) times; `weight` in the dtype of q."""
    q, k, v = (x.transpose(1, 2) for x in (q_BLNE, k_BLNE, v_BLNE))
    bias = weight_L.view(1, 1, 1, -1)
    if not q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2)
    # The one kernel that is known to take a bias of any stride; the others of torch refuse it or fall back to plain.
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
        return F.scaled_dot_product_attention(q, k, v, bias).transpose(1, 2)


def count_weights(single: int, copies: int, total: int, like: Tensor) -> Tensor:
    """Logarithms [single + copies] of counts: 1 for the first keys, then for copies of a key that stand for `total`.

    log(total / copies) seldom is a number of half precision: as many copies as make the counts add up to `total` get
    the next number on its other side.
    """
    near = torch.tensor(math.log(total / copies), dtype=torch.float64).to(like.dtype)
    missing = total - copies * near.double().exp().item()
    other = torch.nextafter(near, torch.tensor(math.copysign(math.inf, missing), dtype=like.dtype))
    moved = min(copies, round(missing / (total / copies * (other.double() - near.double()).item())))
    return torch.cat((near.new_zeros(single), other.expand(moved), near.expand(copies - moved))).to(like.device)


def select_attention(name: str, device: torch.device, dtype: torch.dtype) -> tuple[str, Attend]:
    """The kernel called `name` and its real name; `auto` is the first usable of FASTEST_FIRST. Raises ConfigError."""
    if name == "auto":
        name = next(known for known in FASTEST_FIRST if not BACKENDS[known].why_not(device, dtype))
    if name not in BACKENDS:
        raise ConfigError(f"attention '{name}' is unknown; known are auto, {', '.join(BACKENDS)}")
    reason = BACKENDS[name].why_not(device, dtype)
    if reason:
        raise ConfigError(f"attention '{name}' cannot run on {device} in {dtype}: {reason}; `auto` picks one that can")
    return name, BACKENDS[name].load()


def select_kernels(name: str, device: torch.device, dtype: torch.dtype) -> Kernels:
    """The kernels that `name` means for the transformer. Raises ConfigError."""
    own = select_attention(name, device, dtype)[1]
    rounds = name in BACKENDS and BACKENDS[name].rounds
    return Kernels(own, select_attention("auto", device, dtype)[1] if rounds else own)


def _load_cudnn() -> Attend:
    def attend(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            return attend_sdpa(q_BLNE, k_BLNE, v_BLNE)

    return attend


def _load_flash2() -> Attend:
    from flash_attn import flash_attn_func  # noqa: PLC0415  optional, compiled for CUDA

    return flash_attn_func


def _load_flash3() -> Attend:
    from flash_attn_interface import flash_attn_func  # noqa: PLC0415  optional, compiled for Hopper

    def attend(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
        out = flash_attn_func(q_BLNE, k_BLNE, v_BLNE)
        return out[0] if isinstance(out, tuple) else out

    return attend


def _needs(package: str, capability: tuple[int, int]) -> Callable[[torch.device, torch.dtype], str]:
    def why_not(device: torch.device, dtype: torch.dtype) -> str:
        if device.type != "cuda":
            return "it needs a CUDA device"
        if dtype not in (torch.bfloat16, torch.float16):
            return "it needs half precision"
        if package and importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed"
        if torch.cuda.get_device_capability(device) < capability:
            return f"it needs compute capability {capability[0]}.{capability[1]}"
        return ""

    return why_not


BACKENDS = {
    "sdpa": Backend(lambda: attend_sdpa, lambda _device, _dtype: ""),
    "cudnn": Backend(_load_cudnn, _needs("", (8, 0))),
    "flash2": Backend(_load_flash2, _needs("flash_attn", (8, 0))),
    "flash3": Backend(_load_flash3, _needs("flash_attn_interface", (9, 0))),
    "fp8": Backend(load_float8, _needs("triton", (9, 0)), rounds=True),
}

FASTEST_FIRST = ("flash3", "cudnn", "flash2", "sdpa")
