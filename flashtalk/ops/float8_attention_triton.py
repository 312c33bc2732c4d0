"""Attention in 8 bits by two Triton kernels, for Hopper: one rounds, one attends. Called by attention.py.

FlashAttention's loop (arXiv 2205.14135) with both products in e4m3. Tensor cores want the keys of the second product to
lie together, so values are turned; and laid in the order in which weights come out of the first one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, library
from torch.utils.flop_counter import register_flop_formula

from flashtalk.ops.float8 import FLOAT8, FLOAT8_MAX, SMALLEST
from flashtalk.ops.float8_attention import ROWS, WEIGHT_MAX, sampled_mean
from flashtalk.types import Attend

QUERIES, KEYS, WARPS, STAGES = 64, 128, 4, 3
"""Of a tile, and its buffers: the plainest way, within 7 % of the fastest measured (docs/results/gpu-attention.txt)."""

LENGTHS = ("queries", "keys", "filled", "heads")
"""Arguments whose values do not ask for a kernel of their own."""


class LaidOut(NamedTuple):
    """Float8Attention as `attend_float8` reads it, heads first: query [B, N, L, E], key [B, N, M, E], value turned.

    Scales [B, N, L], [B, N, T], [B, N, T]; value_mean [B, N, E]. Filled-up keys have logits of zero, and as the sampled
    keys have no mean no query has only smaller ones: what they add to a sum can be taken off without losing digits.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    query_scale: Tensor
    key_scale: Tensor
    value_scale: Tensor
    value_mean: Tensor


def load_float8() -> Attend:
    """As attend_rounded(round_attention(...)), in the dtype of the queries."""
    operate = operator()

    def attend(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
        out: Tensor = operate(q_BLNE, k_BLNE, v_BLNE)
        return out

    return attend


@lru_cache(maxsize=1)
def operator() -> Any:
    """The operator that compilers and CUDA graphs take whole; made on first use. Known to torch's flop counter."""
    schema = "(Tensor query, Tensor key, Tensor value) -> Tensor"
    made = library.custom_op("flashtalk::attend_float8", _run, mutates_args=(), schema=schema)
    made.register_fake(lambda query, _key, _value: query.new_empty(query.shape))
    register_flop_formula(torch.ops.flashtalk.attend_float8)(_flops)
    return made


def _run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return launch(lay_out(query, key, value), key.shape[1], query.dtype)


def _flops(query: torch.Size, key: torch.Size, value: torch.Size, **_: object) -> int:
    return 2 * query.numel() * key[1] + 2 * query[:-1].numel() * value[1] * value[-1]


def lay_out(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> LaidOut:
    """Round as float8_attention.round_attention does; half precision in, strided as it may be."""
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in (q_BLNE, k_BLNE, v_BLNE))
    batch, queries, heads, width = query.shape
    keys = key.shape[1]
    tiles = -(-keys // ROWS)
    padded, lead = tiles * ROWS, (batch, heads)
    sizes = ((queries, width), (padded, width), (width, padded))
    query8, key8, value8 = (query.new_empty(lead + size, dtype=FLOAT8) for size in sizes)
    by_row, by_key, by_value = (query.new_empty((*lead, n), dtype=torch.float32) for n in (queries, tiles, tiles))
    key_mean, value_mean = sampled_mean(key), sampled_mean(value)
    strides = (stride for x in (query, key, value) for stride in x.stride()[:3])
    grid = (max(tiles, -(-queries // ROWS)), batch * heads)
    with torch.cuda.device(query.device):  # Triton starts kernels on the current one
        _round_kernel()[grid](
            query, key, value, key_mean, value_mean, query8, key8, value8, by_row, by_key, by_value,
            queries, keys, padded, heads, *strides, width, ROWS, FLOAT8_MAX, SMALLEST, num_warps=8,
        )  # fmt: skip
    return LaidOut(query8, key8, value8, by_row, by_key, by_value, value_mean)


def launch(laid_out: LaidOut, keys: int, dtype: torch.dtype) -> Tensor:
    """Rounded inputs, number of real keys -> attention [B, L, N, E]."""
    from triton.tools.tensor_descriptor import TensorDescriptor  # noqa: PLC0415  comes with torch for CUDA only

    query, key, value, *scales = laid_out
    batch, heads, queries, width = query.shape
    padded = key.shape[2]
    out = query.new_empty((batch, queries, heads, width), dtype=dtype)
    descriptors = (
        TensorDescriptor(query, [batch * heads * queries, width], [width, 1], [QUERIES, width]),
        TensorDescriptor(key, [batch * heads * padded, width], [width, 1], [KEYS, width]),
        TensorDescriptor(value, [batch * heads * width, padded], [padded, 1], [width, KEYS]),
    )
    grid = (-(-queries // QUERIES), batch * heads)
    with torch.cuda.device(query.device):
        _attend_kernel()[grid](
            *descriptors, out, *scales, queries, padded, padded - keys, heads, width**-0.5 / math.log(2),
            width, QUERIES, KEYS, ROWS, math.log2(WEIGHT_MAX),
            num_warps=WARPS, num_stages=STAGES,
        )  # fmt: skip
    return out


@lru_cache(maxsize=1)
def _round_kernel() -> Any:
    """Made on first use: Triton comes with torch for CUDA only."""
    import triton  # noqa: PLC0415
    import triton.language as tl  # noqa: PLC0415

    @triton.jit(do_not_specialize=LENGTHS)  # type: ignore[untyped-decorator]
    def round_float8(  # type: ignore[no-untyped-def]  # Triton looks every annotation up, and knows no other types
        query, key, value, key_mean, value_mean, query_out, key_out, value_out, query_scale, key_scale, value_scale,
        queries, keys, padded, heads, query_batch, query_token, query_head,
        key_batch, key_token, key_head, value_batch, value_token, value_head,
        width: tl.constexpr, rows: tl.constexpr, largest: tl.constexpr, smallest: tl.constexpr,
    ) -> None:  # fmt: skip
        tile, place = tl.program_id(0), tl.program_id(1).to(tl.int64)
        batch, head = place // heads, place % heads
        channel, inside = tl.arange(0, width), tl.arange(0, rows)
        token = tile * rows + inside
        if tile * rows < queries:
            here = token < queries
            at = batch * query_batch + head * query_head + token[:, None].to(tl.int64) * query_token + channel[None, :]
            x = tl.load(query + at, mask=here[:, None], other=0.0).to(tl.float32)
            most = tl.maximum(tl.max(tl.abs(x), 1), smallest)
            row = place * queries + token
            # Precise: were the factor's last digit off, numbers halfway between two would go the other way.
            small = (x * tl.div_rn(largest, most)[:, None]).to(tl.float8e4nv)
            tl.store(query_out + row[:, None] * width + channel[None, :], small, mask=here[:, None])
            tl.store(query_scale + row, most / largest, mask=here)
        if tile * rows < padded:
            here = (token < keys)[:, None]
            at = batch * key_batch + head * key_head + token[:, None].to(tl.int64) * key_token + channel[None, :]
            x = tl.load(key + at, mask=here, other=0.0).to(tl.float32)
            x = tl.where(here, x - tl.load(key_mean + place * width + channel)[None, :], 0.0)
            most = tl.maximum(tl.max(tl.max(tl.abs(x), 1), 0), smallest)
            at = (place * padded + token)[:, None] * width + channel[None, :]
            tl.store(key_out + at, (x * tl.div_rn(largest, most)).to(tl.float8e4nv))
            tl.store(key_scale + place * (padded // rows) + tile, most / largest)
            # Each 16 in the order of the threads that will hold the weights: 0 1 8 9 2 3 10 11 4 5 12 13 6 7 14 15.
            token = tile * rows + inside // 16 * 16 + inside // 2 % 2 * 8 + inside % 16 // 4 * 2 + inside % 2
            here = (token < keys)[:, None]
            at = batch * value_batch + head * value_head + token[:, None].to(tl.int64) * value_token + channel[None, :]
            x = tl.load(value + at, mask=here, other=0.0).to(tl.float32)
            x = tl.where(here, x - tl.load(value_mean + place * width + channel)[None, :], 0.0)
            most = tl.maximum(tl.max(tl.max(tl.abs(x), 1), 0), smallest)
            at = (place * width + channel)[:, None] * padded + (tile * rows + inside)[None, :]
            tl.store(value_out + at, tl.trans((x * tl.div_rn(largest, most)).to(tl.float8e4nv)))
            tl.store(value_scale + place * (padded // rows) + tile, most / largest)

    return round_float8


@lru_cache(maxsize=1)
def _attend_kernel() -> Any:
    import triton  # noqa: PLC0415
    import triton.language as tl  # noqa: PLC0415

    @triton.jit(do_not_specialize=LENGTHS)  # type: ignore[untyped-decorator]
    def attend_float8(  # type: ignore[no-untyped-def]
        query, key, value, out, query_scale, key_scale, value_scale, value_mean,
        queries, padded, filled, heads, logit_scale,
        width: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr, unit: tl.constexpr, shift: tl.constexpr,
    ) -> None:  # fmt: skip
        head, first = tl.program_id(1), tl.program_id(0) * rows
        row = first + tl.arange(0, rows)
        by_row = tl.load(query_scale + head * queries + row, mask=row < queries, other=0.0) * logit_scale
        q = query.load([head * queries + first, 0])
        most = tl.zeros([rows], tl.float32)
        total = tl.zeros([rows], tl.float32)
        sums = tl.zeros([rows, width], tl.float32)
        before = tl.load(value_scale + head * (padded // unit))
        for start in tl.range(0, padded, columns):
            tile = (head * padded + start) // unit
            scale, now = by_row * tl.load(key_scale + tile), tl.load(value_scale + tile)
            logits = tl.dot(q, key.load([head * padded + start, 0]).T)
            higher = tl.maximum(most, tl.max(logits, 1) * scale)
            fading = tl.math.exp2(most - higher)
            weights = tl.math.exp2(logits * scale[:, None] - (higher - shift)[:, None])
            total = total * fading + tl.sum(weights, 1)
            sums = sums * (fading * (before / now))[:, None]
            small = weights.to(tl.float8e4nv)
            small = small.reshape(rows, columns // 16, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(rows, columns)
            sums = tl.dot(small, value.load([head * width, start]).T, sums)
            most, before = higher, now
        total -= filled * tl.math.exp2(shift - most)
        channel = tl.arange(0, width)
        mean = tl.load(value_mean + head * width + channel)[None, :]
        result = sums * (before / total)[:, None] + mean
        token = (head // heads).to(tl.int64) * queries + row
        place = (token[:, None] * heads + head % heads) * width + channel[None, :]
        tl.store(out + place, result.to(out.dtype.element_ty), mask=(row < queries)[:, None])

    return attend_float8
