"""The fast path: submodules that networks already call are swapped for twins. Called by build.py and plan.py.

Each twin computes the same function of the same weights; `runtime` says which are used. Order: fuse, fold, quantise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flashtalk.config import RuntimeConfig
from flashtalk.engine.fast_light import make_light_fast
from flashtalk.engine.fast_vae import make_codec_fast
from flashtalk.engine.folded_audio import FoldedAudioAttention
from flashtalk.engine.quantize import QuantizeReport, quantize_linears
from flashtalk.errors import ConfigError
from flashtalk.models.blocks import SelfAttention
from flashtalk.models.build import Modules
from flashtalk.models.dit import DiT
from flashtalk.models.light_codec import LightCodec
from flashtalk.ops.float8 import why_not_float8


class FusedSelfAttention(SelfAttention):
    """Self-attention with queries, keys and values by one product, which fills a GPU better than three."""

    def __init__(self, plain: SelfAttention) -> None:
        nn.Module.__init__(self)
        self.num_heads, self.attend = plain.num_heads, plain.attend
        self.qkv = _side_by_side(plain.q, plain.k, plain.v)
        self.o, self.norm_q, self.norm_k = plain.o, plain.norm_q, plain.norm_k

    def project(self, x_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As the plain one."""
        q, k, v = self.qkv(x_BLD).chunk(3, dim=-1)
        return self.norm_q(q), self.norm_k(k), v


def make_fast(modules: Modules, runtime: RuntimeConfig) -> None:
    """Swap what `runtime` asks for, in place. Raises ConfigError, EngineError."""
    make_dit_fast(modules["dit"], runtime)
    if runtime.fused_codec:
        for codec in (modules["codec"], modules.get("preview_codec")):
            if isinstance(codec, LightCodec):
                make_light_fast(codec)
            elif codec:
                make_codec_fast(codec)


def make_dit_fast(dit: DiT, runtime: RuntimeConfig) -> QuantizeReport | None:
    """The transformer's part of it; what was quantised, if anything was."""
    dit.counts_padding = runtime.text_padding == "counted"
    for block in dit.blocks:
        if runtime.fused_qkv:
            block.self_attn = FusedSelfAttention(block.self_attn)
        if runtime.folded_audio:
            block.audio_cross_attn = FoldedAudioAttention(block.audio_cross_attn)
    if runtime.linears == "plain":
        return None
    reason = why_not_float8(dit.patch_embedding.weight.device)
    if reason:
        raise ConfigError(f"runtime.linears is fp8, but {reason}; use plain")
    # Folded sound is made of the weights themselves; both its products are small.
    return quantize_linears(dit, keep=lambda name: runtime.folded_audio and ".audio_cross_attn." in name)


def _side_by_side(*linears: nn.Linear) -> nn.Linear:
    """One linear whose output is those of `linears`, one after the other."""
    joined = nn.Linear(linears[0].in_features, sum(one.out_features for one in linears), device="meta")
    joined.weight = nn.Parameter(torch.cat([one.weight for one in linears]), requires_grad=False)
    joined.bias = nn.Parameter(torch.cat([one.bias for one in linears]), requires_grad=False)
    return joined
