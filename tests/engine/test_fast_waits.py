"""No chunk waits for its device, as far as that is seen without one: on the meta device nothing comes from the host.

On a GPU, where kernels may wait too: tests/gpu/test_fast.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine.plan import META, networks_on_meta
from flashtalk.pipeline.chunk import render_chunk
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait
from flashtalk.pipeline.denoise import Sampler, build_sampler
from flashtalk.pipeline.networks import Networks
from tests.pipeline.conftest import picture_of

EXACT = {"runtime.fused_qkv": True, "runtime.folded_audio": True, "runtime.fused_codec": True}
FROM_NUMBERS = (torch.tensor, torch.as_tensor, Tensor.new_tensor)
WAYS = {"plain": {}, "exact": EXACT, "fp8": EXACT | {"runtime.linears": "fp8"}}


class Crossings(TorchFunctionMode):
    """Names of functions that bring something from the host to the meta device: on a GPU the host waits for them.

    A number in a tensor without dimensions goes along with the order to compute.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)]
        devices = {tensor.device for tensor in tensors if tensor.is_meta or tensor.ndim}
        if len(devices) > 1 or (func in FROM_NUMBERS and out.is_meta):
            self.seen.append(func.__name__)
        return out


def on_meta(config: Config, way: str) -> Networks:
    changes = {"runtime.device": "cuda", "runtime.dtype": "bfloat16", "model.dit.text_len": 200}
    return networks_on_meta(
        replace(config, {**changes, "model.text_encoder.max_tokens": 200, **WAYS[way]}), torch.bfloat16
    )


def chunk_maker(networks: Networks, sampler: Sampler) -> Callable[[], object]:
    config = networks.config.dit
    noise = torch.empty(1, config.latent_channels, 9, 8, 8, device=META)
    windows = torch.empty(1, 33, config.audio_window, config.audio_layers * config.audio_dim, device=META)
    conditioning = make_conditioning(networks, make_portrait(networks, picture_of(0), 33), "hello")
    return lambda: render_chunk(
        networks.dit,
        networks.codec,
        sampler,
        lambda _draw: noise,
        conditioning.portrait.motion_CTHW,
        conditioning,
        windows,
        motion_frames=5,
        colour_strength=1.0,
    )


@pytest.mark.parametrize("codec", ["tiny_config", "tiny_wan_config"])
@pytest.mark.parametrize("way", WAYS)
def test_a_chunk_takes_nothing_from_the_host(way: str, codec: str, request: pytest.FixtureRequest) -> None:
    """The first one makes constants. What a session makes once, its sampler for one, does take something."""
    networks = on_meta(request.getfixturevalue(codec), way)
    with torch.no_grad():
        with Crossings() as session:
            sampler = build_sampler(networks.dit, 4, 5.0)
        assert session.seen
        render = chunk_maker(networks, sampler)
        render()
        with Crossings() as chunk:
            render()
    assert chunk.seen == []
