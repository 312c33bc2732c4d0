"""The same laws on a GPU: near the CPU's numbers, repeatable, and no wait for the device inside the loop."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine.build import build_networks
from flashtalk.models.vae import WanVAE
from flashtalk.pipeline.chunk import render_chunk
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait
from flashtalk.pipeline.denoise import build_sampler
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.session import Session
from tests.pipeline.conftest import picture_of, speech

pytestmark = pytest.mark.gpu
CHUNK = 28 * 640


def networks_on(config: Config, device: str, dtype: str) -> Networks:
    return build_networks(replace(config, {"runtime.device": device, "runtime.dtype": dtype}))


def open_session(networks: Networks, config: Config) -> Session:
    with torch.inference_mode():
        portrait = make_portrait(networks, picture_of(0), config.stream.chunk_frames)
        return Session(networks, config.stream, make_conditioning(networks, portrait, "a person talks"))


def frames_of(networks: Networks, config: Config, chunks: int = 2) -> np.ndarray:
    return np.concatenate([c.frames_FHWC for c in open_session(networks, config).feed(speech(chunks * CHUNK))])


@pytest.mark.parametrize("name", ["tiny_config", "tiny_wan_config"])
def test_same_seed_same_frames(name: str, request: pytest.FixtureRequest) -> None:
    config: Config = request.getfixturevalue(name)
    networks = networks_on(config, "cuda", "bfloat16")
    first, again = (frames_of(networks, config) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.std() > 0


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-3), ("bfloat16", 5e-2)])
def test_a_chunk_is_near_the_cpus(tiny_wan_config: Config, dtype: str, bound: float) -> None:
    """The same weights, noise and features on both devices, without TF32."""
    on_cpu = build_networks(tiny_wan_config)
    on_gpu = networks_on(tiny_wan_config, "cuda", dtype)
    for (_, ours), (_, theirs) in zip(on_gpu.modules(), on_cpu.modules(), strict=True):
        ours.load_state_dict(theirs.state_dict())
    with torch.backends.cudnn.flags(allow_tf32=False), torch.inference_mode():
        results = [chunk_maker(networks)().float().cpu() for networks in (on_cpu, on_gpu)]
    error = (results[1] - results[0]).norm() / results[0].norm()
    assert error < bound


def chunk_maker(networks: Networks) -> Callable[[], torch.Tensor]:
    """Pixels of a chunk from fixed noise and features, drawn on the CPU; what a session makes once is made here."""
    draw, config, device = torch.Generator().manual_seed(1), networks.config.dit, networks.device
    noise = [torch.randn(1, config.latent_channels, 9, 8, 8, generator=draw).to(device) for _ in range(5)]
    windows = torch.randn(1, 33, config.audio_window, config.audio_layers * config.audio_dim, generator=draw).to(device)
    conditioning = make_conditioning(networks, make_portrait(networks, picture_of(0), 33), "hello")
    sampler = build_sampler(networks.dit, 4, 5.0)
    return lambda: (
        render_chunk(
            networks.dit,
            networks.codec,
            sampler,
            lambda i: noise[i],
            conditioning.portrait.motion_CTHW,
            conditioning,
            windows,
            motion_frames=5,
            colour_strength=1.0,
        ).pixels_CFHW
    )


@contextmanager
def no_synchronisation() -> Iterator[None]:
    """Fails if the host waits for the device inside, and tells every place where it did."""
    places: list[str] = []

    def note(message: Warning | str, *_rest: object) -> None:
        if "called a synchronizing" in str(message):
            places.append(_place(traceback.extract_stack()))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert not places, f"the host waited for the device: {'; '.join(places)}"


def _place(stack: traceback.StackSummary) -> str:
    """The innermost line of ours; the last frame is that of who asks."""
    ours = (frame for frame in reversed(stack[:-1]) if {"flashtalk", "tests"} & set(Path(frame.filename).parts))
    where = next(ours, stack[0])
    return f"{Path(where.filename).name}:{where.lineno}, {where.line}"


def test_each_wait_is_seen_and_told() -> None:
    number = torch.ones(1, device="cuda")

    @no_synchronisation()
    def wait_twice() -> None:
        number.item()
        number.cpu()

    with pytest.raises(AssertionError, match=r"test_cuda.py:\d+, number.item.*; test_cuda.py:\d+, number.cpu"):
        wait_twice()


@pytest.mark.parametrize("name", ["tiny_config", "tiny_wan_config"])
def test_a_chunk_does_not_wait_for_the_device(name: str, request: pytest.FixtureRequest) -> None:
    """From windows of features to pixels and motion latents; the first chunk makes constants and may wait."""
    with torch.inference_mode():
        render = chunk_maker(networks_on(request.getfixturevalue(name), "cuda", "bfloat16"))
        render()
        with no_synchronisation():
            pixels = render()
    assert pixels.isfinite().all()


def test_streamed_decode_is_whole_decode_in_half_precision(tiny_wan_config: Config) -> None:
    networks = networks_on(tiny_wan_config, "cuda", "bfloat16")
    assert isinstance(networks.codec, WanVAE)
    latents = torch.randn(1, networks.codec.latent_channels, 5, 8, 8, device="cuda")
    with torch.inference_mode():
        whole, pieces = networks.codec.decode(latents), torch.cat(list(networks.codec.decode_stream(latents)), dim=2)
    assert (whole - pieces).norm() / whole.norm() < 2e-2


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_blocks_give_the_eager_frames(tiny_config: Config) -> None:
    eager = networks_on(tiny_config, "cuda", "float32")
    compiled = networks_on(replace(tiny_config, {"runtime.compile": True}), "cuda", "float32")
    first, second = (frames_of(networks, tiny_config).astype(float) for networks in (eager, compiled))
    assert np.abs(first - second).mean() < 0.5
