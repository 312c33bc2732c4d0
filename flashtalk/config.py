"""The settings: frozen dataclasses are the schema, YAML files state what differs, the command line has the last word.

Read by everybody; `load_config` is called once, at the edge (command line, app), and sections are passed down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from flashtalk.config_app import ServingConfig
from flashtalk.config_codec import LightCodecConfig, WanVAEConfig
from flashtalk.config_overlap import OverlapConfig
from flashtalk.config_parallel import ParallelConfig

DEFAULT_SERVE_CONFIG = "cpu"


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The diffusion transformer. Defaults are the published 14B."""

    patch_size: tuple[int, int, int] = (1, 2, 2)
    latent_channels: int = 16
    dim: int = 5120
    ffn_dim: int = 13824
    freq_dim: int = 256
    num_heads: int = 40
    num_layers: int = 40
    text_len: int = 512
    text_dim: int = 4096
    image_dim: int = 1280
    audio_window: int = 5
    """Neighbouring audio frames that each video frame sees."""
    audio_layers: int = 12
    audio_dim: int = 768
    audio_hidden_dim: int = 512
    audio_token_dim: int = 768
    audio_tokens: int = 32
    """Audio tokens of one latent frame."""
    temporal_stride: int = 4

    @property
    def in_channels(self) -> int:
        """Noisy latents, the mask (one channel for each pixel frame of a latent frame) and the reference."""
        return 2 * self.latent_channels + self.temporal_stride

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if self.dim % self.num_heads or self.head_dim % 2:
            yield f"dim {self.dim} must be an even multiple of num_heads {self.num_heads}"
        if self.audio_window % 2 == 0:
            yield f"audio_window {self.audio_window} must be odd (a frame and as many neighbours on each side)"
        if self.patch_size[0] != 1:
            yield f"patch_size {self.patch_size} must not join latent frames (first number 1)"


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """The umT5 encoder. `tokenizer` is a folder inside the checkpoint, or `bytes` (UTF-8 bytes, no files)."""

    vocab_size: int = 256384
    dim: int = 4096
    attention_dim: int = 4096
    ffn_dim: int = 10240
    num_heads: int = 64
    num_layers: int = 24
    num_buckets: int = 32
    max_tokens: int = 512
    tokenizer: str = "google/umt5-xxl"


@dataclass(frozen=True, kw_only=True)
class ImageEncoderConfig:
    """The CLIP image tower; its rows are the output of the last block but one."""

    image_size: int = 224
    patch_size: int = 14
    dim: int = 1280
    mlp_ratio: int = 4
    num_heads: int = 16
    num_layers: int = 32
    activation: Literal["gelu", "quick_gelu"] = "gelu"


@dataclass(frozen=True, kw_only=True)
class AudioEncoderConfig:
    """wav2vec2 (group-norm features, as in the base models); all hidden layers are used."""

    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    conv_dim: tuple[int, ...] = (512, 512, 512, 512, 512, 512, 512)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One architecture: what `configs/models/*.yaml` states."""

    name: str
    licence: str = ""
    source: str = ""
    """Where the weights are published."""
    distilled_steps: tuple[int, ...] = (4, 2)
    """Step counts that the weights were trained for; others are refused."""
    dit: DiTConfig = field(default_factory=DiTConfig)
    codec: WanVAEConfig | LightCodecConfig = field(default_factory=WanVAEConfig)
    preview_codec: LightCodecConfig | None = None
    """A light decoder of the same latents, for fast previews."""
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    audio_encoder: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)

    @property
    def size_multiple(self) -> tuple[int, int]:
        """(height, width) of a picture must be multiples of these."""
        _, patch_h, patch_w = self.dit.patch_size
        return self.codec.spatial_stride * patch_h, self.codec.spatial_stride * patch_w

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        dit = self.dit
        pairs = (
            ("codec.latent_channels", self.codec.latent_channels, "dit.latent_channels", dit.latent_channels),
            ("codec.temporal_stride", self.codec.temporal_stride, "dit.temporal_stride", dit.temporal_stride),
            ("text_encoder.dim", self.text_encoder.dim, "dit.text_dim", dit.text_dim),
            ("text_encoder.max_tokens", self.text_encoder.max_tokens, "dit.text_len", dit.text_len),
            ("image_encoder.dim", self.image_encoder.dim, "dit.image_dim", dit.image_dim),
            ("audio_encoder.hidden_size", self.audio_encoder.hidden_size, "dit.audio_dim", dit.audio_dim),
            ("audio_encoder.num_layers", self.audio_encoder.num_layers, "dit.audio_layers", dit.audio_layers),
        )
        preview = self.preview_codec
        if preview and (preview.latent_channels, preview.spatial_stride, preview.temporal_stride) != (
            self.codec.latent_channels,
            self.codec.spatial_stride,
            self.codec.temporal_stride,
        ):
            yield "preview_codec must have the channels and strides of codec"
        for left, left_value, right, right_value in pairs:
            if left_value != right_value:
                yield f"{left} is {left_value}, but {right} is {right_value}: they must be equal"


TRAINED_FPS, TRAINED_SAMPLE_RATE = 25, 16000


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """The streaming algorithm: sizes in frames, samples and seconds."""

    width: int = 256
    height: int = 256
    fit: Literal["cover", "contain"] = "cover"
    """cover crops the picture (around the face if one is found); contain pads it."""
    fps: int = TRAINED_FPS
    sample_rate: int = TRAINED_SAMPLE_RATE
    chunk_frames: int = 33
    motion_frames: int = 5
    first_chunk_frames: int = 33
    """17 starts sooner: 12 new frames need 0.48 s of sound instead of 1.12 s."""
    steps: int = 4
    shift: float = 5.0
    audio_context_s: float = 8.0
    """Sound that the audio encoder hears for each chunk, its past included."""
    lookahead_frames: int = 0
    """Sound after a chunk that its last frames may hear: 0 is live; files can afford more at no cost but latency."""
    colour_strength: float = 1.0
    bridge_frames: int = 0
    """New frames over which a chunk's first difference from the last frame shown fades; 0 is the paper's way."""
    loudness_lufs: float | None = -23.0
    """Loudness that the model hears (pipeline/loudness.py); null leaves the sound as it is."""
    seed: int = 0

    @property
    def samples_per_frame(self) -> int:
        """Samples that belong to one frame."""
        return self.sample_rate // self.fps

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if (self.sample_rate, self.fps) != (TRAINED_SAMPLE_RATE, TRAINED_FPS):
            yield (
                f"sample_rate {self.sample_rate} and fps {self.fps} must be {TRAINED_SAMPLE_RATE} and {TRAINED_FPS}: "
                "so the networks were trained to hear and to move"
            )
        if not 0 <= self.colour_strength <= 1:
            yield f"colour_strength {self.colour_strength} must lie in 0..1"
        shortest = min(self.chunk_frames, self.first_chunk_frames)
        if 2 * self.motion_frames > shortest:
            yield (
                f"motion_frames {self.motion_frames} must be at most half of a chunk's frames ({shortest}): the next "
                "chunk goes on from as many new ones"
            )
        longest = self.chunk_frames - 2 * self.motion_frames  # a first chunk has no bridge
        if not 0 <= self.bridge_frames <= longest:
            yield f"bridge_frames {self.bridge_frames} must lie in 0..{longest}: the next chunk goes on from later ones"
        if self.lookahead_frames < 0:
            yield f"lookahead_frames {self.lookahead_frames} must not be negative"
        context_frames = round(self.audio_context_s * self.fps)
        is_whole = abs(self.audio_context_s * self.fps - context_frames) < 1e-6
        if not is_whole or context_frames < self.chunk_frames + self.lookahead_frames:
            yield (
                f"audio_context_s {self.audio_context_s} must be a whole number of frames and hold a chunk and its "
                f"look-ahead ({self.chunk_frames + self.lookahead_frames} frames at {self.fps} fps)"
            )


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig(OverlapConfig):
    """Where and how the networks run. `auto` is resolved by engine/build.py and reported."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    attention: str = "auto"
    """A kernel of ops/attention.BACKENDS. fp8: self-attention in 8 bits (for Hopper); an approximation."""
    compile: bool = False
    linears: Literal["plain", "fp8"] = "plain"
    """fp8: products of the transformer's blocks in 8 bits, scaled by rows (for Hopper); an approximation."""
    fused_qkv: bool = False
    """Queries, keys and values by one product: exact."""
    folded_audio: bool = False
    """Products of the attention to sound folded into the sound, once a chunk: exact, less work, more memory."""
    text_padding: Literal["counted", "plain"] = "counted"
    """counted: the equal rows after a prompt are a few that count for all: exact, a quarter of the keys; plain: all."""
    fused_codec: bool = False
    """Layers of the codec joined, channels last: exact but for rounding."""
    decoder: Literal["exact", "preview"] = "exact"
    """preview decodes with the model's preview_codec: much faster, and approximate (the next chunk sees its frames)."""
    threads: int | None = None
    """CPU threads of one engine; null leaves torch's choice."""

    @property
    def rounds_attention(self) -> bool:
        """Whether self-attention is computed in 8 bits."""
        return self.attention == "fp8"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Where the weights are. `source` null means none: weights are drawn from `init_seed` and the engine says so."""

    source: str | None = None
    """A folder, or the id of a repository on the Hugging Face hub."""
    revision: str | None = None
    """The commit of that repository; required for a hub id, so that weights cannot change under a config."""
    verify: Literal["sha256", "size"] = "sha256"
    init_seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run: what `configs/serve/*.yaml` states."""

    model: ModelConfig
    stream: StreamConfig = field(default_factory=StreamConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)

    def problems(self) -> Iterator[str]:
        """What does not fit together, as sentences."""
        stream, stride = self.stream, self.model.codec.temporal_stride
        heads, degree = self.model.dit.num_heads, self.parallel.ulysses_degree
        if degree and heads % degree:
            yield f"parallel.ulysses_degree {degree} must divide the {heads} heads of {self.model.name}"
        if self.runtime.rounds_attention and (
            self.parallel.exchange == "xfuser" or self.parallel.degrees(heads)[1] > 1
        ):
            yield (
                f"runtime.attention {self.runtime.attention} does not go around a ring, nor through xDiT's exchange: "
                f"choose parallel.exchange own and ranks that divide the {heads} heads, or another attention"
            )
        if self.runtime.decoder == "preview" and (self.model.preview_codec is None or self.model.codec.kind != "wan"):
            yield f"runtime.decoder is preview, but {self.model.name} has no preview_codec beside a codec of kind wan"
        for name in ("chunk_frames", "motion_frames", "first_chunk_frames"):
            if getattr(stream, name) % stride != 1:
                yield f"stream.{name} {getattr(stream, name)} must be 1 more than a multiple of {stride}"
        if stream.first_chunk_frames > stream.chunk_frames:
            yield f"stream.first_chunk_frames {stream.first_chunk_frames} must not exceed chunk_frames"
        if stream.steps not in self.model.distilled_steps:
            known = ", ".join(map(str, self.model.distilled_steps))
            yield f"stream.steps {stream.steps}: {self.model.name} was distilled for {known} steps only"
        multiple_h, multiple_w = self.model.size_multiple
        if stream.width % multiple_w or stream.height % multiple_h or min(stream.width, stream.height) <= 0:
            yield (
                f"stream size {stream.width}x{stream.height}: width must be a multiple of {multiple_w} and height of "
                f"{multiple_h}; the nearest is {snap(stream.width, multiple_w)}x{snap(stream.height, multiple_h)}"
            )


def snap(length: int, multiple: int) -> int:
    """The nearest positive multiple."""
    return max(1, round(length / multiple)) * multiple
