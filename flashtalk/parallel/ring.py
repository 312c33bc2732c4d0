"""Ring attention: keys and values go round, each rank sees those of all, softmax parts are merged. For sequence.py.

Needed where heads do not divide by the ranks; with Ulysses inside, where they divide by some of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed._functional_collectives as funcol
from torch import Tensor

from flashtalk.parallel.exchange import start_all_to_all
from flashtalk.parallel.groups import Team

HALF = (torch.bfloat16, torch.float16)


def ring_attention(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor, counts: Sequence[int], team: Team) -> Tensor:
    """softmax over the tokens of all ranks, for own queries. counts: tokens that each rank of the ring holds.

    The next keys and values are on their way while this rank attends to those it has. Ring Attention,
    arXiv 2310.01889; merged in float32 (float64 for float64).
    """
    held = torch.stack((k_BLNE, v_BLNE)).movedim(2, 0)
    merged: tuple[Tensor, Tensor] | None = None
    for turn in range(team.size):
        last = turn == team.size - 1
        coming = held if last else _pass_on(held, counts, turn, team)
        if held.numel() and q_BLNE.numel():  # there may be fewer tokens than ranks
            part = attend_with_log_sum(q_BLNE, *held.movedim(0, 2).unbind(0))
            merged = merge(*merged, *part) if merged else part
        held = coming if last else funcol.wait_tensor(coming)
    return merged[0].to(q_BLNE.dtype) if merged else q_BLNE


def merge(out_BLNE: Tensor, sum_BLN1: Tensor, part_BLNE: Tensor, part_sum_BLN1: Tensor) -> tuple[Tensor, Tensor]:
    """Two attentions over different keys -> the one over all of them. Sums are logarithms of softmax denominators."""
    both = torch.logaddexp(sum_BLN1, part_sum_BLN1)
    return out_BLNE * (sum_BLN1 - both).exp() + part_BLNE * (part_sum_BLN1 - both).exp(), both


def attend_with_log_sum(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> tuple[Tensor, Tensor]:
    """Attention and the logarithm of each query's softmax denominator [B, L, N, 1], both float32 (or float64).

    The kernels behind scaled_dot_product_attention, which itself does not give the logarithm.
    """
    q, k, v = (x.transpose(1, 2) for x in (q_BLNE, k_BLNE, v_BLNE))
    if q.device.type == "cpu":
        out, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[:2]
    elif q.dtype in HALF:
        out, log_sum = torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, True)[:2]
    else:
        out, log_sum = torch.ops.aten._scaled_dot_product_efficient_attention(q, k, v, None, True)[:2]
    # One kernel pads the logarithms to whole tiles, another gives them a last dimension.
    log_sum_BNL1 = log_sum.reshape(*q.shape[:2], -1)[:, :, : q.shape[2], None]
    return out.transpose(1, 2).to(log_sum.dtype), log_sum_BNL1.transpose(1, 2)


def _pass_on(held_L2BNE: Tensor, counts: Sequence[int], turn: int, team: Team) -> Tensor:
    """What this rank holds goes to the next one; after `turn` turns it is of the rank so many places before."""
    sent, received = [0] * team.size, [0] * team.size
    sent[(team.rank + 1) % team.size] = counts[(team.rank - turn) % team.size]
    received[(team.rank - 1) % team.size] = counts[(team.rank - turn - 1) % team.size]
    return start_all_to_all(held_L2BNE, sent, received, team)
