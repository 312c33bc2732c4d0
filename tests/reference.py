"""Compare the product with reference vectors: `python -m tests.reference FOLDER TAG`.

FOLDER holds TAG.json (configurations, shapes, noise draws) and TAG.npz (results); weights and inputs are made from
their names (tests/vectors/recipe.py). Prints one line an array; exit status 1 if one is over its bound.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flashtalk.checkpoint import assign, names_of
from flashtalk.config import (
    AudioEncoderConfig,
    DiTConfig,
    ImageEncoderConfig,
    ModelConfig,
    StreamConfig,
    TextEncoderConfig,
    WanVAEConfig,
)
from flashtalk.media.image import fit_portrait
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.models.dit import DiT
from flashtalk.models.image_encoder import ImageEncoder
from flashtalk.models.text_encoder import TextEncoder
from flashtalk.models.vae import WanVAE
from flashtalk.pipeline.chunk import render_chunk
from flashtalk.pipeline.colour import match_colour, measure
from flashtalk.pipeline.conditioning import conditioning_from_rows, make_portrait, to_frames
from flashtalk.pipeline.denoise import build_sampler
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.schedule import T_MAX, uniform_schedule
from flashtalk.pipeline.session import Session
from flashtalk.types import Conditioning
from tests.vectors.recipe import parameter, tensor

BOUND = 1e-4
BOUND_FLOAT16 = 1e-3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Row:
    """One array: how far the product is from it."""

    name: str
    error: float
    bound: float

    @property
    def ok(self) -> bool:
        return self.error <= self.bound


class Vectors:
    """One set of reference vectors."""

    def __init__(self, folder: Path, tag: str) -> None:
        self.tag = tag
        self.facts = json.loads((folder / f"{tag}.json").read_text())
        self.arrays = dict(np.load(folder / f"{tag}.npz"))

    def input(self, name: str, *shape: int) -> Tensor:
        return torch.from_numpy(tensor(f"{self.tag}.{name}", shape))

    def parameter(self, component: str, name: str, shape: tuple[int, ...]) -> Tensor:
        weight = torch.from_numpy(np.asarray(parameter(f"{self.tag}.{component}.{name}", shape), np.float32))
        return weight.abs() if component == "wav2vec2" and name.endswith("original0") else weight

    def fill(self, module: nn.Module, component: str) -> Any:
        """Load by published name, exactly as the checkpoint loader places tensors."""
        name_map, _ = names_of(module)
        for name, shape in self.facts[f"{component}_shapes"].items():
            weight = self.parameter(component, name, tuple(shape))
            for target in name_map[name]:
                assign(module, target.name, target.pick(weight).contiguous())
        left = [name for name, weight in module.state_dict().items() if weight.is_meta]
        assert not left, f"{component}: no vector for {left[:5]}"
        return module.eval().requires_grad_(False)

    def row(self, name: str, value: Tensor) -> Row:
        wanted = torch.from_numpy(self.arrays.pop(name))
        bound = BOUND_FLOAT16 if wanted.dtype == torch.float16 else BOUND
        assert tuple(value.shape) == tuple(wanted.shape), f"{name}: {tuple(value.shape)} != {tuple(wanted.shape)}"
        return Row(name, relative_error(value, wanted), bound)


def relative_error(value: Tensor, wanted: Tensor) -> float:
    """|value - wanted| / |wanted|, Euclidean norms in float64."""
    return float((value.double() - wanted.double()).norm() / wanted.double().norm().clamp(min=1e-12))


def check(folder: Path, tag: str) -> Iterator[Row]:
    """All arrays of a set, each through the product's classes. Fails loudly if one is not covered."""
    vectors = Vectors(folder, tag)
    parts: tuple[Callable[[Vectors], Iterator[Row]], ...] = (_dit, _vae, _colour, _clip, _umt5, _wav2vec2, _loop)
    with torch.inference_mode():
        for part in parts:
            yield from part(vectors)
    assert not vectors.arrays, f"arrays that nothing checks: {sorted(vectors.arrays)}"


def model_config(vectors: Vectors) -> ModelConfig:
    """The vectors' sizes as our config."""
    dit, image = vectors.facts["dit_config"], vectors.facts["clip_config"]
    text, audio = vectors.facts["umt5_config"], vectors.facts["wav2vec2_config"]
    shapes = vectors.facts["dit_shapes"]
    return ModelConfig(
        name=vectors.tag,
        dit=DiTConfig(
            patch_size=tuple(dit["patch_size"]),
            latent_channels=dit["out_dim"],
            dim=dit["dim"],
            ffn_dim=dit["ffn_dim"],
            freq_dim=dit["freq_dim"],
            num_heads=dit["num_heads"],
            num_layers=dit["num_layers"],
            text_len=dit["text_len"],
            text_dim=dit["text_dim"],
            image_dim=shapes["img_emb.proj.0.weight"][0],
            audio_window=dit["audio_window"],
            audio_hidden_dim=dit["intermediate_dim"],
            audio_token_dim=dit["output_dim"],
            audio_tokens=dit["context_tokens"],
            temporal_stride=dit["vae_scale"],
        ),
        codec=WanVAEConfig(base_dim=vectors.facts["vae_dim"]),
        text_encoder=TextEncoderConfig(
            vocab_size=text["vocab"],
            dim=text["dim"],
            attention_dim=text["dim_attn"],
            ffn_dim=text["dim_ffn"],
            num_heads=text["num_heads"],
            num_layers=text["num_layers"],
            num_buckets=text["num_buckets"],
        ),
        image_encoder=ImageEncoderConfig(
            image_size=image["image_size"],
            patch_size=image["patch_size"],
            dim=image["dim"],
            mlp_ratio=image["mlp_ratio"],
            num_heads=image["num_heads"],
            num_layers=image["num_layers"],
            activation=image["activation"],
        ),
        audio_encoder=AudioEncoderConfig(
            hidden_size=audio["hidden_size"],
            num_layers=audio["num_hidden_layers"],
            num_heads=audio["num_attention_heads"],
            intermediate_size=audio["intermediate_size"],
            conv_dim=tuple(audio["conv_dim"]),
            num_conv_pos_embeddings=audio["num_conv_pos_embeddings"],
            num_conv_pos_embedding_groups=audio["num_conv_pos_embedding_groups"],
        ),
    )


def _build(vectors: Vectors, kind: type[nn.Module], component: str, section: str) -> Any:
    with torch.device("meta"):
        module = kind(getattr(model_config(vectors), section))
    return vectors.fill(module, component)


def _sizes(vectors: Vectors) -> tuple[int, int, int, int]:
    """Pixel frames, latent frames, latent height and width."""
    frames, (height, width) = vectors.facts["frames"], vectors.facts["latent_hw"]
    return frames, 1 + (frames - 1) // 4, height, width


def _picture_rows(vectors: Vectors, name: str) -> Tensor:
    shapes = vectors.facts["dit_shapes"]
    return vectors.input(name, 1, 257, shapes["img_emb.proj.0.weight"][0])


def _windows(vectors: Vectors, name: str) -> Tensor:
    frames, window = vectors.facts["frames"], vectors.facts["dit_config"]["audio_window"]
    row = vectors.facts["dit_shapes"]["audio_proj.proj1.weight"][1] // window
    layers = DiTConfig().audio_layers
    return vectors.input(name, 1, frames, window, layers, row // layers).flatten(3)


def _dit(vectors: Vectors) -> Iterator[Row]:
    dit: DiT = _build(vectors, DiT, "dit", "dit")
    _, latents, height, width = _sizes(vectors)
    channels = dit.config.latent_channels
    text = vectors.input("in.text", vectors.facts["text_tokens"], dit.config.text_dim)[None]
    velocity = dit(
        vectors.input("in.latents", channels, latents, height, width)[None],
        vectors.input("in.y", channels + 4, latents, height, width)[None],
        dit.embed_time(torch.tensor([vectors.facts["timestep"]])),
        dit.positions(dit.grid(latents, height, width), CPU),
        dit.embed_context(text, _picture_rows(vectors, "in.clip")),
        dit.embed_audio(_windows(vectors, "in.audio")),
    )
    yield vectors.row("dit.velocity", velocity[0])


def _vae(vectors: Vectors) -> Iterator[Row]:
    vae: WanVAE = _build(vectors, WanVAE, "vae", "codec")
    frames, latents, height, width = _sizes(vectors)
    pixels = vectors.input("in.pixels", 3, frames, 8 * height, 8 * width).tanh()[None]
    yield vectors.row("vae.encode5", vae.encode(pixels[:, :, :5])[0])
    yield vectors.row("vae.encode_all", vae.encode(pixels)[0])
    z = vectors.input("in.z", vae.latent_channels, latents, height, width)[None]
    yield vectors.row("vae.decode", vae.decode(z)[0])


def _colour(vectors: Vectors) -> Iterator[Row]:
    shape = vectors.arrays["colour.full"].shape
    source = vectors.input("in.colour_source", *shape).tanh()
    reference = measure((0.5 * vectors.input("in.colour_reference", shape[0], 1, *shape[2:])).tanh())
    yield vectors.row("colour.full", match_colour(source, reference, 1.0))
    yield vectors.row("colour.half", match_colour(source, reference, 0.5))


def _clip(vectors: Vectors) -> Iterator[Row]:
    """The vectors do not state the size of the picture; the first one that fits is meant, 40x72 in the open set."""
    tower: ImageEncoder = _build(vectors, ImageEncoder, "clip", "image_encoder")
    wanted, sides = torch.from_numpy(vectors.arrays["clip.penultimate"]), range(16, 164, 4)
    shapes = [(40, 72), *((height, width) for height in sides for width in sides)]
    values = (tower(vectors.input("in.clip_image", 1, 3, *shape).tanh()) for shape in shapes)
    near = (value for value in values if relative_error(value, wanted) <= BOUND)
    yield vectors.row("clip.penultimate", next(near, torch.zeros(wanted.shape)))


def _umt5(vectors: Vectors) -> Iterator[Row]:
    encoder: TextEncoder = _build(vectors, TextEncoder, "umt5", "text_encoder")
    ids = torch.from_numpy(vectors.arrays.pop("umt5.ids"))
    real = len(vectors.arrays["umt5.context"])
    mask = (torch.arange(ids.shape[1]) < real)[None]
    yield vectors.row("umt5.context", encoder(ids, mask)[0, :real])


def _wav2vec2(vectors: Vectors) -> Iterator[Row]:
    encoder: AudioEncoder = _build(vectors, AudioEncoder, "wav2vec2", "audio_encoder")
    frames = len(vectors.arrays["wav2vec2.hidden"])
    samples = 0.1 * vectors.input("in.waveform", frames * 640)[None]
    yield vectors.row("wav2vec2.hidden", encoder(samples, frames)[0])


def _loop(vectors: Vectors) -> Iterator[Row]:
    """Two chunks through Session itself; text rows, picture rows, audio windows and noise are the vectors'."""
    config, (frames, _, height, width) = model_config(vectors), _sizes(vectors)
    motion_frames, stream_frames = vectors.facts["motion_frames"], frames
    stream = StreamConfig(
        width=8 * width, height=8 * height, chunk_frames=frames, first_chunk_frames=frames, motion_frames=motion_frames
    )
    networks = Networks(
        config=config,
        dit=_build(vectors, DiT, "dit", "dit"),
        codec=_build(vectors, WanVAE, "vae", "codec"),
        text_encoder=None,  # type: ignore[arg-type]  # rows are given
        image_encoder=lambda _pixels: _picture_rows(vectors, "loop.clip"),  # type: ignore[arg-type]
        audio_encoder=None,  # type: ignore[arg-type]  # windows are given
        tokenizer=None,  # type: ignore[arg-type]
        device=CPU,
        fingerprint=vectors.tag,
    )
    portrait = make_portrait(networks, _loop_portrait(vectors, stream), stream_frames)
    yield vectors.row("loop.y", portrait.reference_CTHW)
    sigmas = torch.tensor(uniform_schedule(stream.steps, stream.shift))
    yield vectors.row("loop.timesteps", (sigmas * T_MAX).view(vectors.arrays["loop.timesteps"].shape))
    text = vectors.input("loop.text", vectors.facts["text_tokens"], config.dit.text_dim)
    conditioning = conditioning_from_rows(networks, portrait, text)
    yield from _chunks(vectors, networks, stream, conditioning)


def _chunks(vectors: Vectors, networks: Networks, stream: StreamConfig, conditioning: Conditioning) -> Iterator[Row]:
    """Chunk by chunk through `render_chunk`; a Session, fed silence, must show the very same frames."""

    def noise(chunk: int, draw: int, shape: tuple[int, ...]) -> Tensor:
        return vectors.input(f"loop.noise.{chunk}.{draw}", *shape)

    def windows(chunk: int, _frames: int) -> Tensor:
        return _windows(vectors, f"loop.audio.{chunk}")

    session = Session(networks, stream, conditioning, noise=noise, windows=windows)
    new_samples = (stream.chunk_frames - stream.motion_frames) * stream.samples_per_frame
    motion, sampler = conditioning.portrait.motion_CTHW, build_sampler(networks.dit, stream.steps, stream.shift)
    yield vectors.row("loop.motion_latents.0", motion)
    shape = tuple(vectors.facts["noise_draws"][0][1])
    for served in session.feed(np.zeros(vectors.facts["chunks"] * new_samples, np.float32)):
        chunk = render_chunk(
            networks.dit,
            networks.codec,
            sampler,
            lambda draw, index=served.index: noise(index, draw, shape)[None],
            motion,
            conditioning,
            windows(served.index, stream.chunk_frames),
            motion_frames=stream.motion_frames,
            colour_strength=1.0,
        )
        assert np.array_equal(served.frames_FHWC, to_frames(chunk.pixels_CFHW).numpy()), "other frames served"
        motion = chunk.motion_CTHW
        yield vectors.row(f"loop.frames.{served.index}", chunk.pixels_CFHW)
        yield vectors.row(f"loop.motion_latents.{served.index + 1}", motion)


def _loop_portrait(vectors: Vectors, stream: StreamConfig) -> np.ndarray:
    drawn = vectors.input("loop.portrait", stream.height + 24, stream.width + 8, 3).tanh()
    picture = ((drawn + 1) * 127.5).to(torch.uint8).numpy()
    return fit_portrait(picture, stream.width, stream.height, "cover")


def main(arguments: list[str]) -> int:
    """Print the table; 1 if an array is over its bound, 2 for wrong usage."""
    if len(arguments) != 2:
        print("usage: python -m tests.reference FOLDER TAG", file=sys.stderr)
        return 2
    rows = []
    for row in check(Path(arguments[0]), arguments[1]):
        print(f"{row.name:24} {row.error:.2e}  (bound {row.bound:.0e})  {'ok' if row.ok else 'NOT OK'}", flush=True)
        rows.append(row)
    return int(not all(row.ok for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
