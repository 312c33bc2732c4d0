"""The DiT on several ranks: each computes some tokens, self-attention exchanges heads (Ulysses) or keys (ring).

Attached from outside by engine/ranks.py through `DiT.set_sequence` and `DiT.set_attention(own=...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad

from flashtalk.config_parallel import ParallelConfig
from flashtalk.models.dit import DiT
from flashtalk.parallel import xdit
from flashtalk.parallel.exchange import gather, shares, to_heads, to_tokens
from flashtalk.parallel.groups import Ranks, Team
from flashtalk.parallel.ring import ring_attention
from flashtalk.types import Attend, Grid, TokenLayout


class TokenShare:
    """The SequencePart of one rank: tokens in their order, cut as evenly as they divide, within frames too.

    `counts` are the tokens of each rank in the forward that runs: attention learns from it what the others hold.
    """

    def __init__(self, team: Team, cut: Callable[[int, int], tuple[int, ...]] = shares) -> None:
        self._team = team
        self._cut = cut
        self.counts: tuple[int, ...] = (0,) * team.size

    def layout(self, grid: Grid) -> TokenLayout:
        """See SequencePart."""
        counts = self._cut(grid.tokens, self._team.size)
        return TokenLayout(grid, sum(counts[: self._team.rank]), counts[self._team.rank])

    def split(self, tokens_BLD: Tensor, layout: TokenLayout) -> Tensor:
        """See SequencePart."""
        self.counts = self._cut(layout.grid.tokens, self._team.size)
        return tokens_BLD[:, layout.start : layout.start + layout.count].contiguous()

    def gather(self, tokens_BLD: Tensor, layout: TokenLayout) -> Tensor:
        """See SequencePart."""
        return gather(tokens_BLD, 1, self._cut(layout.grid.tokens, self._team.size), self._team)


@dataclass(frozen=True)
class HybridAttention:
    """Self-attention over the tokens of all ranks: Ulysses among neighbours, a ring across neighbourhoods.

    DeepSpeed Ulysses, arXiv 2309.14509; the hybrid is USP, arXiv 2405.07719. `attend` is the kernel of one device.
    """

    share: TokenShare
    ulysses: Team
    ring: Team
    attend: Attend

    def __call__(self, q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
        """Own tokens of all heads -> the same."""
        size = self.ulysses.size
        near = self.share.counts[self.ring.rank * size : (self.ring.rank + 1) * size]
        if size > 1:
            q_BLNE, k_BLNE, v_BLNE = to_heads(q_BLNE, k_BLNE, v_BLNE, near, self.ulysses)
        out = self._around(q_BLNE, k_BLNE, v_BLNE)
        return to_tokens(out, near, self.ulysses) if size > 1 else out

    def _around(self, q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
        if self.ring.size == 1:
            return self.attend(q_BLNE, k_BLNE, v_BLNE)
        counts, size = self.share.counts, self.ulysses.size
        far = [sum(counts[start : start + size]) for start in range(0, len(counts), size)]
        return ring_attention(q_BLNE, k_BLNE, v_BLNE, far, self.ring)


@dataclass(frozen=True)
class PaddedAttention:
    """The same through xDiT's USP, which wants equal shares: tokens are padded behind the last one.

    Keys of padding are cut off after the exchange: they are never attended to.
    """

    share: TokenShare
    usp: xdit.Usp

    def __call__(self, q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Tensor:
        """Own tokens of all heads -> the same."""
        counts, own = self.share.counts, q_BLNE.shape[1]
        missing = (0, 0, 0, 0, 0, max(counts) - own)
        q, k, v = (pad(x, missing).transpose(1, 2) for x in (q_BLNE, k_BLNE, v_BLNE))
        return self.usp(q, k, v, sum(counts)).transpose(1, 2)[:, :own]


def parallelise_dit(
    dit: DiT, ranks: Ranks, config: ParallelConfig, attend: Attend, cross: Attend | None = None
) -> None:
    """Make `dit` compute this rank's share; `attend` is the kernel of one device. All ranks call it. ConfigError.

    `cross` is the kernel of the attentions that exchange nothing, where it is another one.
    """
    ulysses, ring = config.degrees(dit.config.num_heads)
    own: Attend
    if config.exchange == "xfuser":
        share = TokenShare(ranks.team, xdit.equal_shares if ring > 1 else xdit.full_shares)
        own = PaddedAttention(share, xdit.load_usp(ranks, ulysses, ring, dit.dtype))
    else:
        share = TokenShare(ranks.team)
        own = HybridAttention(share, *ranks.teams(ulysses), attend)
    dit.set_sequence(share)
    dit.set_attention(cross or attend, own=own)
