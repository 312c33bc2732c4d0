"""Times every part of the fast path against its plain twin, eager and compiled: `python -m tests.gpu.bench_ops`.

Sizes are the 14B's at 720x416: 10,530 tokens on one GPU, 1,317 on one of eight. `--tiny` runs it on any device, to see
that it runs. Weights and inputs are random. A part that gives nothing here has no reason to stay.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flashtalk.config import DiTConfig, RuntimeConfig
from flashtalk.config_codec import WanVAEConfig
from flashtalk.engine.build import COMPILED_SHAPES
from flashtalk.engine.fast import FusedSelfAttention, make_dit_fast
from flashtalk.engine.fast_vae import NormSiluConv, UpsampleConv, empty_channels_last, make_codec_fast
from flashtalk.engine.folded_audio import FoldedAudioAttention
from flashtalk.engine.quantize import Float8Linear
from flashtalk.models.blocks import AudioAttention, SelfAttention
from flashtalk.models.causal import CausalConv3d, StreamCache
from flashtalk.models.dit import DiT
from flashtalk.models.rope import rotary_positions
from flashtalk.models.vae import ChannelNorm, WanVAE
from flashtalk.ops.attention import attend_weighted, count_weights, select_attention
from flashtalk.ops.channel_norm import norm_silu_into, norm_silu_plain
from flashtalk.types import Grid, TokenLayout

COMPILED = ", compiled"
Row = tuple[str, Callable[[], object]]


@dataclass(frozen=True)
class Bench:
    """Where and how large."""

    device: torch.device
    dtype: torch.dtype
    dit: DiTConfig
    vae: WanVAEConfig
    grid: Grid
    ranks: tuple[int, ...]

    def noise(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self.device, dtype=self.dtype)

    def module(self, make: Callable[[], nn.Module]) -> nn.Module:
        with torch.device(self.device):
            return make().to(self.dtype).eval().requires_grad_(False)

    def layouts(self) -> Iterator[tuple[str, TokenLayout]]:
        for ranks in self.ranks:
            count = -(-self.grid.tokens // ranks)
            start = count if ranks > 1 else 0  # the second rank's share cuts through frames
            yield f"M={count}", TokenLayout(self.grid, start, count)


def full(device: torch.device) -> Bench:
    return Bench(device, torch.bfloat16, DiTConfig(num_layers=1), WanVAEConfig(), Grid(9, 52, 90), (1, 8))


def tiny(device: torch.device) -> Bench:
    dit = DiTConfig(dim=64, ffn_dim=128, num_heads=2, num_layers=1, text_len=200, text_dim=16, image_dim=16)
    return Bench(device, torch.bfloat16, dit, WanVAEConfig(base_dim=8), Grid(3, 4, 6), (1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--eager", action="store_true", help="leave out what is compiled")
    parser.add_argument("--cudnn-benchmark", action="store_true", help="let cuDNN choose by trying")
    parser.add_argument("--only", default="", help="parts whose name contains this")
    given = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bench = tiny(device) if given.tiny or device.type == "cpu" else full(device)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = given.cudnn_benchmark
    torch._dynamo.config.recompile_limit = COMPILED_SHAPES
    with torch.inference_mode():
        for part in (linears, text, attention, sound, blocks, norms, upsampling, decoding):
            if given.only in part.__name__:
                rows = (row for row in part(bench) if not (given.eager and row[0].endswith(COMPILED)))
                show(part.__name__, rows, device)


def show(name: str, rows: Iterator[Row], device: torch.device) -> None:
    print(f"\n{name}", flush=True)
    for label, call in rows:
        try:
            spent_us = 1e6 * seconds(call, device)
            print(f"  {label:58s} {spent_us:12.1f} us", flush=True)
        except Exception as error:  # one part that fails must not hide the others
            print(f"  {label:58s} FAILED {type(error).__name__}: {str(error)[:300]}", flush=True)


def seconds(call: Callable[[], object], device: torch.device, least_s: float = 0.3) -> float:
    """Median of runs that last `least_s` together, five at least; the first ones compile."""
    for _ in range(3):
        call()
    wait(device)
    runs: list[float] = []
    while sum(runs) < least_s or len(runs) < 5:
        started = time.perf_counter()
        call()
        wait(device)
        runs.append(time.perf_counter() - started)
    return statistics.median(runs)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def both(label: str, call: Callable[..., object], *inputs: object) -> Iterator[Row]:
    """Eager and compiled whole."""
    yield f"{label}, eager", lambda: call(*inputs)
    compiled = torch.compile(call, fullgraph=True, dynamic=False)
    yield label + COMPILED, lambda: compiled(*inputs)


def linears(bench: Bench) -> Iterator[Row]:
    dim, hidden = bench.dit.dim, bench.dit.ffn_dim
    for name, layout in bench.layouts():
        for rows, columns in ((dim, dim), (dim, 3 * dim), (dim, hidden), (hidden, dim)):
            linear = bench.module(lambda rows=rows, columns=columns: nn.Linear(rows, columns))
            assert isinstance(linear, nn.Linear)
            x = bench.noise(1, layout.count, rows)
            yield f"{name} {rows} -> {columns}, bf16", lambda linear=linear, x=x: linear(x)
            yield from both(f"{name} {rows} -> {columns}, fp8 with quantising", Float8Linear(linear), x)


def text(bench: Bench) -> Iterator[Row]:
    heads, width, total = bench.dit.num_heads, bench.dit.head_dim, bench.dit.text_len
    attend = select_attention("auto", bench.device, bench.dtype)[1]
    for name, layout in bench.layouts():
        q = bench.noise(1, layout.count, heads, width)
        for keys in (total, 128):
            k, v = bench.noise(1, keys, heads, width), bench.noise(1, keys, heads, width)
            if keys == total:
                yield f"{name} {keys} keys", lambda q=q, k=k, v=v: attend(q, k, v)
                continue
            weight = count_weights(20, 108, total - 20, q)
            yield f"{name} {keys} keys, weighted", lambda q=q, k=k, v=v, w=weight: attend_weighted(q, k, v, w)
            yield f"{name} {keys} keys, as if not weighted", lambda q=q, k=k, v=v: attend(q, k, v)


def attention(bench: Bench) -> Iterator[Row]:
    """Projections, norms and rotation; the attention itself is left out (values are handed on)."""
    for name, layout in bench.layouts():
        plain = bench.module(lambda: SelfAttention(bench.dit))
        assert isinstance(plain, SelfAttention)
        plain.attend = lambda q, k, v: q + k + v
        positions = rotary_positions(layout, bench.dit.head_dim, bench.device)
        x = bench.noise(1, layout.count, bench.dit.dim)
        fused = FusedSelfAttention(plain)
        yield f"{name} the product alone", lambda x=x, fused=fused: fused.qkv(x)
        for label, module in (("three products", plain), ("one product", fused)):
            yield from both(f"{name} {label}", module, x, positions)


def sound(bench: Bench) -> Iterator[Row]:
    config = bench.dit
    plain = bench.module(lambda: AudioAttention(config))
    assert isinstance(plain, AudioAttention)
    plain.attend = select_attention("auto", bench.device, bench.dtype)[1]
    tokens = bench.noise(1, bench.grid.frames, config.audio_tokens, config.audio_token_dim)
    for name, layout in bench.layouts():
        x = bench.noise(1, layout.count, config.dim)
        for label, module in (("plain", plain), ("folded", FoldedAudioAttention(plain))):
            prepare = lambda module=module, layout=layout: module.prepare(tokens, layout)  # noqa: E731
            yield f"{name} {label}, prepare (once a chunk)", prepare
            yield from both(f"{name} {label}", module, x, module.prepare(tokens, layout), layout)


def blocks(bench: Bench) -> Iterator[Row]:
    """A whole block, cumulative; times 40 it is a step without its exchange (attention sees this share's keys only)."""
    ways = {
        "plain": RuntimeConfig(),
        "one product": RuntimeConfig(fused_qkv=True),
        "and folded sound": RuntimeConfig(fused_qkv=True, folded_audio=True),
        "and fp8": RuntimeConfig(fused_qkv=True, folded_audio=True, linears="fp8"),
        "fp8, sound not folded": RuntimeConfig(fused_qkv=True, linears="fp8"),
    }
    config = bench.dit
    windows = bench.noise(
        1, 1 + 4 * (bench.grid.frames - 1), config.audio_window, config.audio_layers * config.audio_dim
    )
    rows = bench.noise(1, 20, config.text_dim), bench.noise(1, 257, config.image_dim)
    for name, layout in bench.layouts():
        positions = rotary_positions(layout, config.head_dim, bench.device)
        x, modulation = bench.noise(1, layout.count, config.dim), torch.randn(1, 6, config.dim, device=bench.device)
        for label, runtime in ways.items():
            dit = bench.module(lambda: DiT(config))
            assert isinstance(dit, DiT)
            make_dit_fast(dit, runtime)
            dit.set_attention(select_attention("auto", bench.device, bench.dtype)[1])
            inputs = x, modulation, positions, dit.embed_context(*rows)[0], dit.embed_audio(windows, layout)[0]
            yield from both(f"{name} {label}", next(iter(dit.blocks)), *inputs)


def stages(bench: Bench) -> Iterator[tuple[int, int, int, int]]:
    """Channels, frames and sides of what the decoder's levels compute on."""
    width, rows, columns = bench.vae.base_dim, bench.grid.height, bench.grid.width
    frames = bench.grid.frames
    yield 4 * width, 2 * frames - 1, 2 * rows, 2 * columns
    yield 2 * width, 4 * frames - 3, 4 * rows, 4 * columns
    yield width, 4 * frames - 3, 8 * rows, 8 * columns


def norms(bench: Bench) -> Iterator[Row]:
    for channels, frames, rows, columns in stages(bench):
        x = empty_channels_last(bench.noise(1, 1, 1, rows, columns), channels, frames).normal_()
        gamma, out = bench.noise(channels), empty_channels_last(x, channels, frames + 2)
        name = f"{channels} x {frames} x {rows} x {columns}"
        into = out[:, :, 2:]
        yield f"{name}, copy (the floor)", lambda x=x, into=into: into.copy_(x)
        yield f"{name}, kernel", lambda x=x, into=into, g=gamma: norm_silu_into(into, x, g)
        yield from both(f"{name}, twin", norm_silu_plain, into, x, gamma)
        plain = bench.module(lambda c=channels: nn.ModuleList([ChannelNorm(c), CausalConv3d(c, c, 3)]))
        assert isinstance(plain, nn.ModuleList)
        norm, conv = plain
        assert isinstance(norm, ChannelNorm)
        assert isinstance(conv, CausalConv3d)
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last_3d)
        joined = NormSiluConv(norm, conv)
        yield (
            f"{name}, norm, SiLU, convolution",
            lambda x=x, plain=plain: plain[1](nn.functional.silu(plain[0](x)), StreamCache()),
        )
        yield f"{name}, the same joined", lambda x=x, joined=joined: joined(x, StreamCache())


def upsampling(bench: Bench) -> Iterator[Row]:
    for channels, frames, rows, columns in stages(bench):
        if channels == bench.vae.base_dim:
            continue
        x = bench.noise(frames, channels, rows, columns).contiguous(memory_format=torch.channels_last)
        conv = bench.module(lambda c=channels: nn.Conv2d(c, c // 2, 3, padding=1)).to(memory_format=torch.channels_last)
        assert isinstance(conv, nn.Conv2d)
        plain, name = nn.Sequential(nn.Upsample(scale_factor=2), conv), f"{frames} x {channels} x {rows} x {columns}"
        yield f"{name}, doubled", lambda x=x, plain=plain: plain(x)
        fast = UpsampleConv(conv)
        yield f"{name}, in phases", lambda x=x, fast=fast: fast(x)


def decoding(bench: Bench) -> Iterator[Row]:
    plain = bench.module(lambda: WanVAE(bench.vae))
    assert isinstance(plain, WanVAE)
    last = copy.deepcopy(plain)
    for weight in last.parameters():
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        weight.data = weight.data.contiguous(memory_format=formats.get(weight.ndim, torch.preserve_format))
    fast = copy.deepcopy(plain)
    make_codec_fast(fast)
    latents = bench.noise(1, bench.vae.latent_channels, bench.grid.frames, bench.grid.height, bench.grid.width)
    pixels = bench.noise(1, 3, 5, 8 * bench.grid.height, 8 * bench.grid.width)
    for label, vae in (("plain", plain), ("channels last", last), ("joined layers", fast)):
        yield f"decode, {label}", lambda vae=vae: vae.decode(latents)
        yield f"decode latent by latent, {label}", lambda vae=vae: list(vae.decode_stream(latents))
        yield f"encode 5 frames, {label}", lambda vae=vae: vae.encode(pixels)


if __name__ == "__main__":
    main()
