"""What the device does at best, part by part, right after a stream ran on it: the measure of its figures.

Called by `flashtalk bench` on every rank. Random numbers, since zeros are faster; the median, since short runs flatter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flashtalk.config import Config
from flashtalk.engine.device import pick_device, pick_dtype, wait_for
from flashtalk.errors import FlashTalkError
from flashtalk.ops.attention import select_attention
from flashtalk.ops.clock import StageClock
from flashtalk.ops.float8 import multiply, quantize_rows, why_not_float8
from flashtalk.parallel.exchange import all_to_all, shares
from flashtalk.parallel.groups import Ranks
from flashtalk.types import Grid

PRODUCTS, SERVED_PRODUCTS = "products", "products as served"
FLOAT8, SERVED_FLOAT8 = "8-bit products", "8-bit products as served"
ATTENTION, COPY, EXCHANGE = "attention as served", "copying", "all-to-all"
NAMES = (PRODUCTS, SERVED_PRODUCTS, FLOAT8, SERVED_FLOAT8, ATTENTION, COPY, EXCHANGE)

EXCHANGES = 10
"""Bursts of exchanges: all ranks must make the same number."""


@dataclass(frozen=True)
class Ceiling:
    """A rate. `of` tells what was measured, or, where value is None, why nothing was."""

    value: float | None
    unit: str
    of: str


@dataclass(frozen=True)
class _Probe:
    """One operation: `amount` units x 10^12 or 10^9 each time; `bursts` None means as many as fit in the time."""

    amount: float
    run: Callable[[], object]
    of: str
    bursts: int | None = None


@dataclass(frozen=True)
class _Bench:
    """Where and how large. tokens: those of a rank; all_tokens: of a chunk."""

    config: Config
    device: torch.device
    dtype: torch.dtype
    ranks: Ranks | None

    @property
    def on_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def side(self) -> int:
        return 8192 if self.on_cuda else 512

    @property
    def all_tokens(self) -> int:
        codec, stream = self.config.model.codec, self.config.stream
        frames = 1 + (stream.chunk_frames - 1) // codec.temporal_stride
        cells = (stream.height // codec.spatial_stride, stream.width // codec.spatial_stride)
        return Grid(frames, *cells, self.config.model.dit.patch_size).tokens

    @property
    def tokens(self) -> int:
        return shares(self.all_tokens, self.config.parallel.ranks)[0]

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device, dtype=self.dtype)


def measure_ceilings(config: Config, ranks: Ranks | None = None) -> dict[str, Ceiling]:
    """By name, in a few seconds; all ranks of a group call it, and each gets its own. What cannot run is told in `of`.

    Raises WorkerLost if a rank is lost meanwhile.
    """
    device = ranks.device if ranks else pick_device(config.runtime.device)
    bench = _Bench(config, device, pick_dtype(config.runtime.dtype, device), ranks)
    with torch.inference_mode():
        return {name: _ceiling(name, bench) for name in NAMES}


def _ceiling(name: str, bench: _Bench) -> Ceiling:
    unit = {COPY: "TB/s", EXCHANGE: "GB/s"}.get(name, "TFLOP/s")
    reason = _why_not(name, bench)
    if reason:
        return Ceiling(None, unit, reason)
    if name == EXCHANGE:
        return _exchange(bench, unit)
    try:
        probe = PROBES[name](bench)
        return Ceiling(probe.amount / _median_s(probe, bench) / 1e12, unit, probe.of)
    except (RuntimeError, FlashTalkError) as error:  # a stream was measured before: its figures must not be lost
        return Ceiling(None, unit, f"it failed: {str(error).partition(chr(10))[0]}")


def _why_not(name: str, bench: _Bench) -> str:
    if name == EXCHANGE and bench.ranks is None:
        return "one rank has nobody to exchange with"
    if name in (FLOAT8, SERVED_FLOAT8):
        return why_not_float8(bench.device) if bench.on_cuda else "there is no 8-bit kernel for a CPU"
    return ""


def _products(bench: _Bench) -> _Probe:
    return _product(bench, bench.side, bench.side, bench.side)


def _served_products(bench: _Bench) -> _Probe:
    dit = bench.config.model.dit
    return _product(bench, bench.tokens, dit.dim, dit.ffn_dim)


def _product(bench: _Bench, rows: int, inner: int, columns: int) -> _Probe:
    a, b = bench.noise(rows, inner), bench.noise(columns, inner).t()
    return _Probe(2 * rows * inner * columns, lambda: a @ b, _sizes(rows, inner, columns, bench.dtype))


def _float8(bench: _Bench) -> _Probe:
    return _product8(bench, bench.side, bench.side, bench.side)


def _served_float8(bench: _Bench) -> _Probe:
    dit = bench.config.model.dit
    return _product8(bench, bench.tokens, dit.dim, dit.ffn_dim)


def _product8(bench: _Bench, rows: int, inner: int, columns: int) -> _Probe:
    a, a_scale = quantize_rows(bench.noise(rows, inner))
    b, b_scale = quantize_rows(bench.noise(columns, inner))
    scale_C = b_scale.flatten()
    words = f"{_sizes(rows, inner, columns, a.dtype)}, scaled by rows, quantising not included"
    return _Probe(2 * rows * inner * columns, lambda: multiply(a, a_scale, b, scale_C, None), words)


def _attention(bench: _Bench) -> _Probe:
    """What a rank computes at once: all tokens of its heads, or with a ring a part of the queries."""
    dit = bench.config.model.dit
    ulysses, ring = bench.config.parallel.degrees(dit.num_heads)
    rows, keys, heads = shares(bench.all_tokens, ring)[0], bench.all_tokens, dit.num_heads // ulysses
    name, attend = select_attention(bench.config.runtime.attention, bench.device, bench.dtype)
    q, k, v = (bench.noise(1, length, heads, dit.head_dim) for length in (rows, keys, keys))
    words = f"{rows} queries, {keys} keys, {heads} heads of {dit.head_dim}, {name}, {_word(bench.dtype)}"
    return _Probe(4 * rows * keys * heads * dit.head_dim, lambda: attend(q, k, v), words)


def _copy(bench: _Bench) -> _Probe:
    source = torch.randn(2**28 if bench.on_cuda else 2**23, device=bench.device)
    target = torch.empty_like(source)
    words = f"{source.nbytes / 2**20:.0f} MiB on the device, read and written bytes"
    return _Probe(2 * source.nbytes, lambda: target.copy_(source), words)


PROBES: dict[str, Callable[[_Bench], _Probe]] = {
    PRODUCTS: _products,
    SERVED_PRODUCTS: _served_products,
    FLOAT8: _float8,
    SERVED_FLOAT8: _served_float8,
    ATTENTION: _attention,
    COPY: _copy,
}


def _exchange(bench: _Bench, unit: str) -> Ceiling:
    """Queries, keys and values of a block from all ranks to all, as the transformer packs them."""
    ranks = bench.ranks
    assert ranks is not None
    counts = shares(bench.all_tokens, ranks.world)
    own, width = counts[ranks.rank], 3 * bench.config.model.dit.dim // ranks.world
    rows = bench.noise(ranks.world * own, width)
    sent_bytes = rows.nbytes * (ranks.world - 1) / ranks.world
    words = f"{rows.nbytes / 2**20:.1f} MiB of a rank to {ranks.world}, bytes that leave it"

    def run() -> Tensor:
        return all_to_all(rows, [own] * ranks.world, counts, ranks.team)

    with ranks.watch():
        seconds = _median_s(_Probe(sent_bytes, run, words, bursts=EXCHANGES), bench)
    return Ceiling(sent_bytes / seconds / 1e9, unit, words)


def _median_s(probe: _Probe, bench: _Bench) -> float:
    """Seconds of one operation: the device's clock over bursts, which hide the time to start operations."""
    clock, burst = StageClock(bench.device), 10 if bench.on_cuda else 1
    probe.run()
    probe.run()
    wait_for(bench.device)
    times = []
    for _ in _rounds(probe.bursts, 0.4 if bench.on_cuda else 0.05):
        with clock.span("burst"):
            for _ in range(burst):
                probe.run()
        wait_for(bench.device)
        times.append(clock.read()["burst"] / burst)
    return float(np.median(times))


def _rounds(count: int | None, seconds: float) -> Iterator[None]:
    """`count` of them, or for so long, at least one."""
    if count is not None:
        yield from (None for _ in range(count))
        return
    until_s = time.perf_counter() + seconds
    yield None
    while time.perf_counter() < until_s:
        yield None


def _sizes(rows: int, inner: int, columns: int, dtype: torch.dtype) -> str:
    return f"[{rows}, {inner}] by [{inner}, {columns}], {_word(dtype)}"


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
