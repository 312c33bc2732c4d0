"""The parts of the DiT: norms, the three attentions, a block, the head (Wan2.1 with InfiniteTalk's audio).

Attribute names are the published tensor names, so that checkpoints load without a map. Statistics, modulation and
residual sums are float32; linears run in the dtype of their weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk.config import DiTConfig
from flashtalk.models.rope import Positions, rotate
from flashtalk.ops.attention import attend_sdpa, attend_weighted
from flashtalk.types import Attend, BlockContext, KeyValue, TokenLayout

NORM_EPS = 1e-6


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension, statistics in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape [..., width]; keeps dtype."""
        return F.rms_norm(x.float(), x.shape[-1:], eps=NORM_EPS).to(x.dtype) * self.weight


class LayerNorm32(nn.LayerNorm):
    """LayerNorm with float32 statistics and weights, result in the dtype of its input."""

    def __init__(self, width: int, eps: float = NORM_EPS) -> None:
        super().__init__(width, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape [..., width]; keeps dtype."""
        return F.layer_norm(x.float(), x.shape[-1:], self.weight.float(), self.bias.float(), self.eps).to(x.dtype)


def modulate(x_BLD: Tensor, shift_BD: Tensor, scale_BD: Tensor) -> Tensor:
    """LN(x) (1 + scale) + shift in float32, back in the dtype of x."""
    normed = F.layer_norm(x_BLD.float(), x_BLD.shape[-1:], eps=NORM_EPS)
    return (normed * (1 + scale_BD[:, None]) + shift_BD[:, None]).to(x_BLD.dtype)


def add_gated(x_BLD: Tensor, update_BLD: Tensor, gate_BD: Tensor) -> Tensor:
    """x + gate * update, summed in float32."""
    return (x_BLD.float() + update_BLD.float() * gate_BD[:, None]).to(x_BLD.dtype)


class SelfAttention(nn.Module):
    """Attention of all tokens to all tokens; q and k pass an RMSNorm over the whole width, then the rotation."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        dim = config.dim
        self.num_heads = config.num_heads
        self.attend: Attend = attend_sdpa
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)

    def forward(self, x_BLD: Tensor, positions: Positions) -> Tensor:
        """tokens -> tokens."""
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)) for x in self.project(x_BLD))
        return self.o(self.attend(rotate(q, positions), rotate(k, positions), v).flatten(-2))

    def project(self, x_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """tokens -> normed queries, normed keys, values, heads side by side."""
        return self.norm_q(self.q(x_BLD)), self.norm_k(self.k(x_BLD)), self.v(x_BLD)


class TextPictureAttention(nn.Module):
    """Two attentions with one query, to text rows and to picture rows, summed before `o`."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        dim = config.dim
        self.num_heads = config.num_heads
        self.attend: Attend = attend_sdpa
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)
        self.k_img, self.v_img = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.norm_k_img = RMSNorm(dim)

    def prepare(self, text_BLD: Tensor, picture_BLD: Tensor, text_weight_L: Tensor | None = None) -> BlockContext:
        """Keys and values of rows that stay the same for a whole session."""
        heads = (self.num_heads, -1)
        text = KeyValue(self.norm_k(self.k(text_BLD)).unflatten(-1, heads), self.v(text_BLD).unflatten(-1, heads))
        picture_key = self.norm_k_img(self.k_img(picture_BLD)).unflatten(-1, heads)
        picture = KeyValue(picture_key, self.v_img(picture_BLD).unflatten(-1, heads))
        return BlockContext(text, picture, text_weight_L)

    def forward(self, x_BLD: Tensor, context: BlockContext) -> Tensor:
        """tokens -> tokens."""
        q = self.norm_q(self.q(x_BLD)).unflatten(-1, (self.num_heads, -1))
        text_kv, weight_L = context.text, context.text_weight_L
        if weight_L is None:
            text = self.attend(q, text_kv.key, text_kv.value)
        else:
            text = attend_weighted(q, text_kv.key, text_kv.value, weight_L)
        picture = self.attend(q, context.picture.key, context.picture.value)
        return self.o((text + picture).flatten(-2))


class AudioAttention(nn.Module):
    """The tokens of a latent frame attend to the audio tokens of that frame only. No norms, no rotation."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.attend: Attend = attend_sdpa
        self.q_linear = nn.Linear(config.dim, config.dim)
        self.kv_linear = nn.Linear(config.audio_token_dim, 2 * config.dim)
        self.proj = nn.Linear(config.dim, config.dim)

    def prepare(self, audio_BTAD: Tensor, layout: TokenLayout | None = None) -> KeyValue:  # noqa: ARG002  others need it
        """Keys and values [B, T, A, N, E] of a chunk's audio tokens, whatever share `layout` will attend to them."""
        key, value = self.kv_linear(audio_BTAD).unflatten(-1, (2, self.num_heads, -1)).unbind(-3)
        return KeyValue(key, value)

    def forward(self, x_BLD: Tensor, audio: KeyValue, layout: TokenLayout) -> Tensor:
        """tokens -> tokens. A share that cuts through a frame is padded to whole frames: queries are independent."""
        first, end = layout.frame_span
        per_frame = layout.grid.tokens_per_frame
        tail = (end - first) * per_frame - layout.lead - layout.count
        q = self.q_linear(x_BLD)
        if layout.lead or tail:
            q = F.pad(q, (0, 0, layout.lead, tail))
        q = q.unflatten(1, (end - first, per_frame)).flatten(0, 1).unflatten(-1, (self.num_heads, -1))
        key, value = (kv[:, first:end].flatten(0, 1) for kv in (audio.key, audio.value))
        out = self.attend(q, key, value).unflatten(0, (len(x_BLD), -1)).flatten(3).flatten(1, 2)
        return self.proj(out[:, layout.lead : layout.lead + layout.count])


class DiTBlock(nn.Module):
    """Self-attention, text and picture, sound, feed-forward; time enters by six vectors (shift, scale, gate, twice)."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        dim = config.dim
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)
        self.self_attn = SelfAttention(config)
        self.norm3 = LayerNorm32(dim)
        self.cross_attn = TextPictureAttention(config)
        self.norm_x = LayerNorm32(dim)
        self.audio_cross_attn = AudioAttention(config)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )

    def forward(
        self, x_BLD: Tensor, modulation_B6D: Tensor, positions: Positions, context: BlockContext, audio: KeyValue
    ) -> Tensor:
        """tokens -> tokens."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + modulation_B6D).unbind(1)
        x = add_gated(x_BLD, self.self_attn(modulate(x_BLD, shift1, scale1), positions), gate1)
        x = x + self.cross_attn(self.norm3(x), context)
        x = x + self.audio_cross_attn(self.norm_x(x), audio, positions.layout)
        return add_gated(x, self.ffn(modulate(x, shift2, scale2)), gate2)


class Head(nn.Module):
    """The last modulation and the projection to patches of velocity."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        _, patch_h, patch_w = config.patch_size
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)
        self.head = nn.Linear(config.dim, patch_h * patch_w * config.latent_channels)

    def forward(self, x_BLD: Tensor, time_BD: Tensor) -> Tensor:
        """tokens [B, L, D] -> patches [B, L, patch_h * patch_w * C]."""
        shift, scale = (self.modulation.float() + time_BD[:, None]).unbind(1)
        return self.head(modulate(x_BLD, shift, scale))
