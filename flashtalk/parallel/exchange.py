"""Exchanges between the ranks of a team, for shares of any sizes. Used by the modules beside it.

Functional collectives: they have no side effects, so torch.compile takes a block that exchanges whole. A rank's share
is never padded for an all-to-all: sizes are sent as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed._functional_collectives as funcol
from torch import Tensor
from torch.nn.functional import pad

from flashtalk.parallel.groups import Team


def shares(length: int, ranks: int) -> tuple[int, ...]:
    """`length` in `ranks` parts that differ by one at most, the larger ones first."""
    least, more = divmod(length, ranks)
    return tuple(least + (rank < more) for rank in range(ranks))


def to_heads(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor, counts: Sequence[int], team: Team) -> tuple[Tensor, ...]:
    """Own tokens of all heads -> all the team's tokens of own heads, in one exchange. counts: tokens of each rank.

    What arrives from the ranks lies behind one another in token order: nothing has to be joined.
    """
    size, own = team.size, counts[team.rank]
    packed = torch.stack((q_BLNE, k_BLNE, v_BLNE)).unflatten(3, (size, -1)).permute(3, 2, 0, 1, 4, 5)
    whole = all_to_all(packed.flatten(0, 1), [own] * size, counts, team)
    return whole.permute(1, 2, 0, 3, 4).unbind(0)


def to_tokens(out_BLNE: Tensor, counts: Sequence[int], team: Team) -> Tensor:
    """The way back: all the team's tokens of own heads -> own tokens of all heads."""
    size, own = team.size, counts[team.rank]
    parts = all_to_all(out_BLNE.transpose(0, 1), counts, [own] * size, team)
    return parts.unflatten(0, (size, own)).permute(2, 1, 0, 3, 4).flatten(2, 3)


def all_to_all(rows: Tensor, sent: Sequence[int], received: Sequence[int], team: Team) -> Tensor:
    """sent[p] rows go to rank p, received[p] rows come from it; dimension 0, in the order of ranks."""
    return funcol.wait_tensor(start_all_to_all(rows, sent, received, team))


def start_all_to_all(rows: Tensor, sent: Sequence[int], received: Sequence[int], team: Team) -> Tensor:
    """The same without waiting: `funcol.wait_tensor` gives the result."""
    assert team.group is not None, "a rank that is alone has nobody to exchange with"
    if len({*sent, *received}) == 1:
        return funcol.all_to_all_single(rows.contiguous(), None, None, team.group)
    return funcol.all_to_all_single(rows.contiguous(), list(received), list(sent), team.group)


def gather(share: Tensor, dim: int, counts: Sequence[int], team: Team) -> Tensor:
    """All shares joined along `dim`, on every rank. counts: the length of each rank's share."""
    assert team.group is not None, "a rank that is alone has nobody to exchange with"
    most, rows = max(counts), share.movedim(dim, 0)
    if len(rows) < most:
        rows = pad(rows, (0, 0) * (rows.ndim - 1) + (0, most - len(rows)))
    # The operator itself: the functions around it change their names between releases of torch.
    gathered = torch.ops._c10d_functional.all_gather_into_tensor(rows.contiguous(), team.size, team.group.group_name)
    every = funcol.wait_tensor(gathered)
    if min(counts) < most:
        parts = every.split(most)
        every = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    return every.movedim(0, dim)


def with_neighbours(x: Tensor, above: int, below: int, team: Team) -> Tensor:
    """Rows (the last dimension but one) with `above` rows of the rank before and `below` of the one after.

    Zeros where there is none. Every rank holds max(above, below) rows at least.
    """
    rows = x.movedim(-2, 0)
    before, after = team.rank > 0, team.rank + 1 < team.size
    to_before, to_after = rows[: below * before], rows[len(rows) - above * after :]
    sent, received = [0] * team.size, [0] * team.size
    if before:
        sent[team.rank - 1], received[team.rank - 1] = below, above
    if after:
        sent[team.rank + 1], received[team.rank + 1] = above, below
    coming = start_all_to_all(torch.cat((to_before, to_after)), sent, received, team)
    padded = pad(x, (0, 0, above, below))  # keeps the memory format, unlike a concatenation with what arrives
    halo, edges = funcol.wait_tensor(coming), padded.movedim(-2, 0)
    edges[: above * before] = halo[: above * before]
    edges[len(edges) - below * after :] = halo[above * before :]
    return padded
