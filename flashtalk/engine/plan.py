"""What a config will need and how fast it will be, before anything is downloaded. Called by `flashtalk plan`.

A chunk is computed with the real code on the meta device, stage by stage, and counted (work.py); times are work by the
device's measured rates (rates.py). All of it is a prediction; `flashtalk bench` measures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flashtalk.checkpoint import assign
from flashtalk.config import Config, ModelConfig, StreamConfig, snap
from flashtalk.engine.build import dtype_rule
from flashtalk.engine.fast import make_fast
from flashtalk.engine.rates import DeviceRates, rates_for
from flashtalk.engine.work import Work, WorkCounter
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.models.text_encoder import ByteTokenizer
from flashtalk.ops.attention import BACKENDS, attend_sdpa
from flashtalk.pipeline.chunk import render_chunk
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait, to_frames
from flashtalk.pipeline.denoise import Sampler, build_sampler
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.window import audio_windows
from flashtalk.types import Conditioning, Grid

META = torch.device("meta")
STEP = "step"
SHARED = ("denoise", "decode", "encode")
"""Stages that the ranks of a group compute together; the last two if the codec is split."""

ASPECTS = {"16:9": 16 / 9, "1:1": 1.0, "9:16": 9 / 16}
SHORT_SIDES = (256, 336, 416, 448, 512, 576, 720)
SPARE = 0.1
"""Of a device's memory, for the allocator's gaps, the libraries' work space and the driver."""


@dataclass(frozen=True)
class Size:
    """A picture that the model can make, and the tokens of a chunk of it."""

    width: int
    height: int
    tokens: int


@dataclass(frozen=True)
class Memory:
    """Bytes on the device.

    weights: each network, in the precision in which it runs.
    session: what each open session keeps: keys and values of text and picture rows of all blocks, which are
        layers x 2 x (text_len + 1 + (image_size / patch_size)^2) x dim numbers, and the portrait's latents.
    sound: keys and values of a chunk's sound: layers x 2 x latent frames x audio_tokens x dim numbers, and num_heads
        times as much if it is folded.
    work: the most that is alive in each stage beyond weights and session (`sound` is a part of `denoise`). A step of
        the transformer holds a few tensors of tokens x dim numbers, some in float32, decoding a few of
        frames x height x width x base_dim numbers; `open` encodes a whole chunk of pixels.
    """

    weights: Mapping[str, int]
    session: int
    sound: int
    work: Mapping[str, int]

    @property
    def peak(self) -> int:
        """Weights, one session and its hungriest stage."""
        return sum(self.weights.values()) + self.session + max(self.work.values())


@dataclass(frozen=True)
class Stage:
    """A stage of a chunk, under the name that `flashtalk bench` gives it; the seconds are predicted."""

    name: str
    work: Work
    seconds: float


@dataclass(frozen=True)
class Plan:
    """A prediction: nothing in it was measured on the model."""

    config: Config
    device: DeviceRates
    found: str
    """How the device was chosen."""
    dtype: torch.dtype
    parameters: int
    memory: Memory
    size: Size
    step: Work
    """One pass of the transformer."""
    stages: tuple[Stage, ...]
    """Of a chunk in the middle of a stream; they sum up to a chunk."""
    open_s: float
    """Preparing a picture and a prompt."""
    first_chunk_s: float

    @property
    def fits(self) -> bool:
        """Whether the device has room, with SPARE left over."""
        return self.memory.peak < (1 - SPARE) * self.device.memory_gib.value * 2**30

    @property
    def chunk_s(self) -> float:
        """Computing a chunk."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def fps(self) -> float:
        """New frames a second."""
        stream = self.config.stream
        return (stream.chunk_frames - stream.motion_frames) / self.chunk_s

    @property
    def first_sound_s(self) -> float:
        """Live sound that must have come in before the first chunk can begin."""
        stream = self.config.stream
        return (stream.first_chunk_frames - stream.motion_frames + stream.lookahead_frames) / stream.fps

    @property
    def first_frame_s(self) -> float:
        """From the first word to the picture of it: its sound, then the computing."""
        return self.first_sound_s + self.first_chunk_s


def plan(config: Config, device: str | None = None) -> Plan:
    """Predict; `device` names a file in configs/devices (default: what the config means here). Raises ConfigError.

    Memory is that of one device. Of several, each computes an even share of SHARED; of what they exchange, the
    transformer's part is reckoned, where somebody measured its rate.
    """
    rates, dtype, found = rates_for(config.runtime, device)
    rates.rates(dtype)
    networks, stream = networks_on_meta(config, dtype), config.stream
    with torch.no_grad():
        opening, conditioning = _count_opening(networks, stream)
        chunk = _count_chunk(networks, stream, conditioning, stream.chunk_frames)
        first = chunk
        if stream.first_chunk_frames != stream.chunk_frames:
            first = _count_chunk(networks, stream, conditioning, stream.first_chunk_frames)
    stages = _stages(chunk, config, stream.chunk_frames, rates, dtype)
    return Plan(
        config=config,
        device=rates,
        found=found,
        dtype=dtype,
        parameters=sum(p.numel() for _, module in networks.modules() for p in module.parameters()),
        memory=Memory(
            weights={name: _nbytes(module.parameters()) for name, module in networks.modules()},
            session=_nbytes(_session_tensors(conditioning)),
            sound=_sound_bytes(networks, stream),
            work={"open": opening.peak_bytes} | {stage.name: stage.work.peak_bytes for stage in stages},
        ),
        size=_size(config.model, stream.width, stream.height, stream.chunk_frames),
        step=chunk[STEP],
        stages=stages,
        open_s=rates.seconds(opening, dtype),
        first_chunk_s=sum(stage.seconds for stage in _stages(first, config, stream.first_chunk_frames, rates, dtype)),
    )


def legal_sizes(model: ModelConfig, frames: int) -> dict[str, list[Size]]:
    """Aspect -> sizes near it that the model can make, small to large, for chunks of so many frames."""
    multiple_h, multiple_w = model.size_multiple
    found: dict[str, list[Size]] = {}
    for aspect, ratio in ASPECTS.items():
        sides = ((short * max(1.0, ratio), short * max(1.0, 1 / ratio)) for short in SHORT_SIDES)
        pairs = {(snap(round(width), multiple_w), snap(round(height), multiple_h)) for width, height in sides}
        found[aspect] = [_size(model, width, height, frames) for width, height in sorted(pairs)]
    return found


def networks_on_meta(config: Config, dtype: torch.dtype) -> Networks:
    """The networks that an engine would build, without memory, each tensor in the precision in which it would run."""
    modules = build_models_on_meta(config.model, preview=config.runtime.decoder == "preview")
    for component, module in named_modules(modules):
        dtype_of = dtype_rule(module, component, dtype)
        for name, tensor in list(module.state_dict().items()):
            assign(module, name, torch.empty_like(tensor, dtype=dtype_of(name)))
    make_fast(modules, config.runtime)
    tokenizer = ByteTokenizer(config.model.text_encoder.max_tokens)
    networks = Networks.join(config.model, modules, tokenizer, META, "")
    if config.runtime.rounds_attention:
        networks.dit.set_attention(attend_sdpa, own=BACKENDS[config.runtime.attention].load())
    return networks


def _count_opening(networks: Networks, stream: StreamConfig) -> tuple[Work, Conditioning]:
    """A portrait and the longest prompt."""
    picture_HWC = np.zeros((stream.height, stream.width, 3), np.uint8)
    with WorkCounter() as counter, counter.span("open"):
        portrait = make_portrait(networks, picture_HWC, stream.chunk_frames)
        conditioning = make_conditioning(networks, portrait, "x" * networks.config.text_encoder.max_tokens)
    return counter.stages["open"], conditioning


def _count_chunk(networks: Networks, stream: StreamConfig, conditioning: Conditioning, frames: int) -> dict[str, Work]:
    """What a session does for a chunk of `frames`, by stage; one step of the transformer by itself."""
    dit, motion = networks.dit, conditioning.portrait.motion_CTHW[None]
    with WorkCounter() as counter:
        with counter.span("audio"):
            windows = _hear(networks, stream, frames)
        latent_frames = 1 + (frames - 1) // networks.codec.temporal_stride
        noise = torch.empty(1, motion.shape[1], latent_frames, *motion.shape[3:], device=META)
        chunk = render_chunk(
            dit,
            networks.codec,
            Sampler((1.0,), ()),
            lambda _draw: noise,
            motion[0],
            conditioning,
            windows,
            motion_frames=stream.motion_frames,
            colour_strength=stream.colour_strength,
            span=counter.span,
        )
        with counter.span("host"):
            to_frames(chunk.pixels_CFHW)
        del chunk
        audio = dit.embed_audio(windows.to(dit.audio_proj.proj1.weight.dtype))
        positions = dit.positions(dit.grid(latent_frames, *motion.shape[3:]), META)
        time = build_sampler(dit, stream.steps, stream.shift).times[0]
        with counter.span(STEP):
            reference = conditioning.portrait.reference_CTHW[None, :, :latent_frames]
            dit(noise, reference, time, positions, conditioning.context, audio)
    return counter.stages


def _hear(networks: Networks, stream: StreamConfig, frames: int) -> Tensor:
    context_frames = round(stream.audio_context_s * stream.fps)
    samples = torch.empty(1, context_frames * stream.samples_per_frame, device=META)
    hidden = networks.audio_encoder(samples, context_frames)
    first = context_frames - stream.lookahead_frames - frames
    return audio_windows(hidden, first, frames, networks.config.dit.audio_window)


def _stages(
    counted: Mapping[str, Work], config: Config, frames: int, rates: DeviceRates, dtype: torch.dtype
) -> tuple[Stage, ...]:
    """The stages as a session's clock names them: `denoise` with all its steps."""
    seconds = {name: rates.seconds(work, dtype) for name, work in counted.items()}
    steps, step = config.stream.steps, counted[STEP]
    seconds["denoise"] += steps * rates.seconds(step, dtype, compiled=config.runtime.compile)
    works = {**counted, "denoise": counted["denoise"] + step.times(steps)}
    for name in SHARED if config.parallel.split_codec else SHARED[:1]:
        seconds[name] /= config.parallel.ranks
    if rates.exchange_gb_s:
        seconds["denoise"] += steps * _sent_bytes(config, frames, dtype) / rates.exchange_gb_s.value / 1e9
    names = ("audio", "denoise", "decode", "colour", "encode", "host")
    return tuple(Stage(name, works[name], seconds[name]) for name in names)


def _sent_bytes(config: Config, frames: int, dtype: torch.dtype) -> float:
    """That leave a rank in a step: queries, keys, values and results of each block; keys and values again in a ring."""
    dit, parallel, stream = config.model.dit, config.parallel, config.stream
    ulysses, ring = parallel.degrees(dit.num_heads)
    tensors = 4 * (ulysses - 1) / ulysses + 2 * (ring - 1)
    own_tokens = _size(config.model, stream.width, stream.height, frames).tokens / parallel.ranks
    return tensors * dit.num_layers * own_tokens * dit.dim * dtype.itemsize


def _session_tensors(conditioning: Conditioning) -> Iterator[Tensor]:
    for block in conditioning.context:
        for rows in (block.text, block.picture):
            yield from (rows.key, rows.value)
    portrait = conditioning.portrait
    yield from (portrait.reference_CTHW, portrait.motion_CTHW, portrait.image_LD, conditioning.text_LD)


def _sound_bytes(networks: Networks, stream: StreamConfig) -> int:
    config, dit = networks.config.dit, networks.dit
    row = config.audio_layers * config.audio_dim
    windows = torch.empty(1, stream.chunk_frames, config.audio_window, row, dtype=dit.dtype, device=META)
    prepared = (value for block in dit.embed_audio(windows) for value in vars(block).values())
    return _nbytes(value for value in prepared if isinstance(value, Tensor))


def _size(model: ModelConfig, width: int, height: int, frames: int) -> Size:
    stride, latent_frames = model.codec.spatial_stride, 1 + (frames - 1) // model.codec.temporal_stride
    return Size(width, height, Grid(latent_frames, height // stride, width // stride, model.dit.patch_size).tokens)


def _nbytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
