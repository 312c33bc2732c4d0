"""How fast a device computes: measured once and kept in configs/devices/*.yaml, or measured now. Used by plan.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch
import torch.nn.functional as F
import yaml

from flashtalk.config import RuntimeConfig
from flashtalk.config_file import CONFIG_ROOT, config_names, from_tree
from flashtalk.engine.device import pick_device, pick_dtype, wait_for
from flashtalk.engine.work import Work
from flashtalk.errors import ConfigError

PROBE_S = 0.07
"""Each of the four probes repeats its operation for so long."""

REFERENCE_GPU = "h200"
"""What a config for CUDA is planned for on a machine without a GPU."""

NOW = "measured now"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number and where it is from. `date` is a year and a month, or when the program ran."""

    value: float
    source: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Rates:
    """TFLOP/s by kind of operation."""

    linear: Measured
    attention: Measured
    conv: Measured
    float8: Measured | None = None
    """Products of matrices in 8 bits beside the others in this precision."""
    attention8: Measured | None = None
    """Attention in 8 bits, rounding included."""


@dataclass(frozen=True, kw_only=True)
class DeviceRates:
    """One type of device: what `configs/devices/*.yaml` states."""

    name: str
    matches: str = ""
    """A part of the name by which torch knows the device."""
    memory_gib: Measured
    copy_tb_s: Measured
    """Bytes read and written by operations that only move data."""
    exchange_gb_s: Measured | None = None
    """Bytes that leave one of several that share a step; waiting for the others is in it."""
    bfloat16: Rates | None = None
    float32: Rates | None = None

    def seconds(self, work: Work, dtype: torch.dtype, *, compiled: bool = False) -> float:
        """How long `work` takes; the time to start operations is not in it. Raises ConfigError for an unknown dtype."""
        rates = self.rates(dtype)
        flops = work.linear / rates.linear.value + work.attention / rates.attention.value + work.conv / rates.conv.value
        if work.float8:
            flops += work.float8 / self._known(rates.float8, "8-bit products", "runtime.linears: plain").value
        if work.attention8:
            flops += work.attention8 / self._known(rates.attention8, "8-bit attention", "runtime.attention: auto").value
        return (flops + (work.handed_bytes if compiled else work.moved_bytes) / self.copy_tb_s.value) / 1e12

    def _known(self, rate: Measured | None, what: str, instead: str) -> Measured:
        if rate is None:
            raise ConfigError(f"nobody measured {what} on {self.name}; use {instead}")
        return rate

    def rates(self, dtype: torch.dtype) -> Rates:
        """The rates in one precision. Raises ConfigError if nobody measured them."""
        rates = {torch.bfloat16: self.bfloat16, torch.float32: self.float32}[dtype]
        if rates is None:
            raise ConfigError(f"nobody measured {self.name} in {str(dtype).removeprefix('torch.')}; use another dtype")
        return rates


def rates_for(runtime: RuntimeConfig, name: str | None = None) -> tuple[DeviceRates, torch.dtype, str]:
    """The device that a config means, its precision, and how that was found out in words.

    `name` is a file in configs/devices. Otherwise it is the device that the engine would take; where that is a GPU and
    this machine has none, REFERENCE_GPU. A device without a file is measured now. Raises ConfigError.
    """
    if name is not None:
        return _from_file(name), _dtype(runtime), f"{name}, as asked for"
    if runtime.device.startswith("cuda") and not torch.cuda.is_available():
        return _from_file(REFERENCE_GPU), _dtype(runtime), f"{REFERENCE_GPU}: this machine has no GPU to measure"
    device = pick_device(runtime.device)
    dtype = pick_dtype(runtime.dtype, device)
    if device.type == "cuda":
        known = next((d for d in map(_from_file, config_names("devices")) if d.matches in _gpu_name(device)), None)
        if known:
            return known, dtype, f"{known.name}: this machine's GPU"
    with _threads(runtime.threads):
        return probe(device, dtype), dtype, f"this machine, measured now{_busy_words()}"


def probe(device: torch.device, dtype: torch.dtype) -> DeviceRates:
    """Measure a device that is here in some 0.3 s: sizes as in the networks, the best of several runs."""
    side = 4096 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    qkv = torch.randn(3, 1, 6, side, 64, device=device, dtype=dtype)
    pixels = torch.randn(side // 16, 48, 64, 64, device=device, dtype=dtype)
    kernel = torch.randn(48, 48, 3, 3, device=device, dtype=dtype)
    moved = torch.randn(8192 * side, device=device)
    with torch.inference_mode():
        rates = Rates(
            linear=_rate(2 * side**3, device, lambda: a @ b),
            attention=_rate(4 * 6 * side**2 * 64, device, lambda: F.scaled_dot_product_attention(*qkv)),
            conv=_rate(2 * pixels.numel() * 48 * 9, device, lambda: F.conv2d(pixels, kernel, padding=1)),
        )
        copy = _rate(2 * moved.nbytes, device, moved.neg)
    return DeviceRates(
        name=_gpu_name(device) if device.type == "cuda" else "cpu",
        memory_gib=_memory(device),
        copy_tb_s=copy,
        bfloat16=rates if dtype == torch.bfloat16 else None,
        float32=rates if dtype == torch.float32 else None,
    )


def _rate(amount: int, device: torch.device, operation: Callable[[], object]) -> Measured:
    """10^12 units a second, of the fastest run: what else the machine does meanwhile only slows."""
    operation()
    wait_for(device)
    best_s, until_s = float("inf"), time.perf_counter() + PROBE_S
    while (started := time.perf_counter()) < until_s:
        operation()
        wait_for(device)
        best_s = min(best_s, time.perf_counter() - started)
    return Measured(value=amount / best_s / 1e12, source="a probe on this machine", date=NOW)


def _memory(device: torch.device) -> Measured:
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
    else:
        total = psutil.virtual_memory().total
    return Measured(value=total / 2**30, source="what this machine reports", date=NOW)


def _busy_words() -> str:
    """Beside other work a probe sees what is left."""
    load, threads = psutil.getloadavg()[0], psutil.cpu_count() or 1
    return f" while it was busy (load {load:.1f} on {threads} threads)" if load > threads else ""


def _gpu_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device)


def _dtype(runtime: RuntimeConfig) -> torch.dtype:
    return torch.float32 if runtime.dtype == "float32" else torch.bfloat16


def _from_file(name: str) -> DeviceRates:
    known = config_names("devices")
    if name not in known:
        raise ConfigError(f"no device '{name}' in configs/devices; known are {', '.join(known)}")
    return from_tree(DeviceRates, yaml.safe_load((CONFIG_ROOT / "devices" / f"{name}.yaml").read_text("utf-8")))


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
