"""Times attention in 8 bits, and tells how far it is off: `python -m tests.gpu.bench_attention`.

Sizes are the 14B's at 720x416: 10,530 tokens, 40 heads of 128, and 20 and 10 heads as on 2 and 4 GPUs. Random inputs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from flashtalk.ops.attention import select_attention
from flashtalk.ops.float8_attention_triton import launch, lay_out, load_float8
from flashtalk.types import Attend

TOKENS, WIDTH, HEADS = 10530, 128, (40, 20, 10)
LEAST_MS = 80.0

Inputs = tuple[Tensor, Tensor, Tensor]
Prepare = Callable[[Tensor, Tensor, Tensor], Callable[[], object]]
"""Inputs -> what is timed."""


@torch.inference_mode()
def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, {torch.cuda.get_device_name()}")
    cudnn, float8 = select_attention("cudnn", torch.device("cuda"), torch.bfloat16)[1], load_float8()
    report("cudnn bf16", lambda *qkv: partial(cudnn, *qkv), cudnn)
    report("rounding", lambda *qkv: partial(lay_out, *qkv))
    report("attending", lambda q, k, v: partial(launch, lay_out(q, k, v), k.shape[1], q.dtype))
    report("whole", lambda *qkv: partial(float8, *qkv), float8)


def report(name: str, prepare: Prepare, attend: Attend | None = None) -> None:
    """Times of prepare(q, k, v)() by number of heads, and the error of `attend`."""
    times = []
    for count in HEADS:
        ms = milliseconds(prepare(*noise(1, TOKENS, count)))
        times.append(f"{count} heads {ms:6.3f} ms {4 * TOKENS**2 * WIDTH * count / ms / 1e9:5.0f} TFLOP/s")
    print(f"{name:12s} {'; '.join(times)}{f'; error {errors(attend)}' if attend else ''}", flush=True)


def errors(attend: Attend) -> str:
    """|out - exact| / |exact| for 10 heads, each 41st query: of flat weights, of sharp ones, at an odd length too."""
    return ", ".join(
        f"{label} {error(attend, *inputs):.4f}"
        for label, inputs in (
            ("flat", noise(1, TOKENS, 10)),
            ("sharp", sharp(*noise(1, TOKENS, 10))),
            ("sharp of 1317", sharp(*noise(2, 1317, 3))),
        )
    )


def error(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> float:
    out = attend(q, k, v)[:, ::41].float()
    exact = attend_plain(q[:, ::41].float(), k.float(), v.float())
    return ((out - exact).norm() / exact.norm()).item()


def attend_plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return ((q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2)


def sharp(q: Tensor, k: Tensor, v: Tensor) -> Inputs:
    """Logits of deviation 6, keys and values with a mean: what trained heads look like."""
    return 3 * q, 2 * k + 4 * torch.randn_like(k[:, :1]), v + 2 * torch.randn_like(v[:, :1])


def noise(batch: int, tokens: int, heads: int) -> Inputs:
    q, k, v = torch.randn(3, batch, tokens, heads, WIDTH, device="cuda", dtype=torch.bfloat16)
    return q, k, v


def milliseconds(call: Callable[[], object]) -> float:
    """Median by the device's clock, of a replayed graph: a program starts operations slower than some run."""
    for _ in range(3):
        call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    spent: list[float] = []
    while sum(spent) < LEAST_MS or len(spent) < 5:
        started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        started.record()
        graph.replay()
        ended.record()
        ended.synchronize()
        spent.append(started.elapsed_time(ended))
    return statistics.median(spent)


if __name__ == "__main__":
    main()
