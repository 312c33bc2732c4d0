"""Laws of an engine on several ranks: the same film as on one, all stay in step, a lost rank is told in time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from flashtalk import Config, ConfigError, EngineError, InputError
from flashtalk.config_file import replace
from flashtalk.config_parallel import ParallelConfig
from flashtalk.engine.build import build_networks
from flashtalk.engine.engine import Engine
from flashtalk.errors import WorkerLost
from flashtalk.parallel.groups import Place, Ranks
from flashtalk.pipeline.chunk import render_chunk
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait
from flashtalk.pipeline.denoise import build_sampler
from flashtalk.pipeline.networks import Networks
from tests.parallel.pool import Pool
from tests.pipeline.conftest import picture_of, speech

CHUNK = 28 * 640
EXACT = ("runtime.fused_qkv", "runtime.folded_audio", "runtime.fused_codec")
WORLDS = [2, 3, 4]
"""With two heads: Ulysses, a ring of three, two by two."""


def odd(config: Config) -> Config:
    """6 x 10 cells, 5 latent frames: 75 tokens and 6 rows, which divide by 3 only."""
    frames = {"stream.chunk_frames": 17, "stream.first_chunk_frames": 17}
    return replace(
        config, {"stream.width": 80, "stream.height": 48, "stream.audio_context_s": 1.0, "stream.steps": 2, **frames}
    )


def together(config: Config, ranks: Ranks) -> Config:
    return replace(config, {"parallel.ranks": ranks.world})


def double(networks: Networks) -> Networks:
    for _, network in networks.modules():
        network.double()
    return networks


def chunk_of(networks: Networks, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Pixels of one chunk and the motion latents after it."""
    draw = torch.Generator().manual_seed(seed)
    config = networks.config.dit
    noise = [torch.randn(1, config.latent_channels, 5, 6, 10, generator=draw) for _ in range(3)]
    windows = torch.randn(1, 17, config.audio_window, config.audio_layers * config.audio_dim, generator=draw)
    picture = np.resize(picture_of(0), (48, 80, 3))
    conditioning = make_conditioning(networks, make_portrait(networks, picture, 17), "hello")
    chunk = render_chunk(
        networks.dit,
        networks.codec,
        build_sampler(networks.dit, 2, 5.0),
        lambda i: noise[i].to(networks.device),
        conditioning.portrait.motion_CTHW,
        conditioning,
        windows.to(networks.device),
        motion_frames=5,
        colour_strength=1.0,
    )
    return chunk.pixels_CFHW, chunk.motion_CTHW


def split_chunk(ranks: Ranks, config: Config) -> tuple[Tensor, Tensor]:
    return chunk_of(double(build_networks(together(config, ranks), ranks)))


@pytest.mark.parametrize(("world", "fast"), [(2, False), (3, False), (4, False), (3, True)])
def test_a_chunk_is_the_one_rank_chunk(pool: Pool, tiny_wan_config: Config, world: int, fast: bool) -> None:
    """Picture to pixels and next motion latents, in float64 but for what is float32 by definition."""
    config = odd(tiny_wan_config)
    with torch.inference_mode():
        alone = chunk_of(double(build_networks(config)))
    if fast:
        config = replace(config, dict.fromkeys(EXACT, True))
    for parts in pool.run(world, split_chunk, config):
        for part, whole in zip(parts, alone, strict=True):
            torch.testing.assert_close(part, whole, rtol=0, atol=2e-5)


def film(config: Config, ranks: Ranks | None = None) -> np.ndarray:
    """Frames of three chunks, the last of them after a save and a restore."""
    with Engine(config, ranks) as engine:
        session, sound = engine.open(picture_of(0), prompt="hello", seed=4), speech(2 * CHUNK)
        chunks = [next(session.feed(sound[:CHUNK])), session.step()]
        session = engine.restore(session.snapshot())
        session.push(sound[CHUNK:])
        chunks.append(session.step())
    return np.concatenate([chunk.frames_FHWC for chunk in chunks]).astype(np.int16)


def split_film(ranks: Ranks, config: Config) -> np.ndarray:
    return film(together(config, ranks), ranks)


@pytest.mark.parametrize("world", WORLDS)
def test_a_session_is_the_one_rank_session(pool: Pool, tiny_wan_config: Config, world: int) -> None:
    """Three chunks in float32: bytes may differ where a number lies at the edge of two."""
    config = odd(tiny_wan_config)
    alone = film(config)
    assert alone.std() > 0
    for frames in pool.run(world, split_film, config):
        assert np.abs(frames - alone).max() <= 1
        assert (frames != alone).mean() < 1e-3


def refuse_and_go_on(ranks: Ranks, config: Config) -> tuple[str, int]:
    with Engine(together(config, ranks), ranks) as engine:
        try:
            engine.open(picture_of(0), prompt="\ud800")
            code = ""
        except (InputError, EngineError) as error:
            code = error.code
        return code, len(next(engine.open(picture_of(0)).feed(speech(CHUNK))).frames_FHWC)


def test_what_only_the_first_rank_sees_is_refused_by_all(pool: Pool, tiny_config: Config) -> None:
    """The prompt is read on rank 0; the others learn that it cannot be used, and nobody is out of step."""
    assert pool.run(2, refuse_and_go_on, odd(tiny_config)) == [("text_unicode", 12), ("refused", 12)]


def weights_held(ranks: Ranks, config: Config) -> int:
    with Engine(together(config, ranks), ranks) as engine:
        networks = engine._networks
        return sum(p.numel() for _, m in networks.modules() for p in m.parameters() if not p.is_meta)


def test_encoders_of_a_session_are_held_once(pool: Pool, tiny_config: Config) -> None:
    first, second = pool.run(2, weights_held, odd(tiny_config))
    networks = build_networks(tiny_config)
    once = [
        p.numel() for name, m in networks.modules() if name in ("text_encoder", "image_encoder") for p in m.parameters()
    ]
    assert first - second == sum(once)


def hang(ranks: Ranks, config: Config) -> tuple[str, str, float]:
    """Rank 1 stops in the middle of work: what rank 0 meets, at once again, and after how long."""
    codes = []
    with Engine(together(config, ranks), ranks) as engine:
        session = engine.open(picture_of(0))
        session.push(speech(CHUNK))
        started = time.monotonic()
        if ranks.rank == 1:
            time.sleep(6)
            return "", "", 0.0
        for _ in range(2):
            try:
                session.step()
            except WorkerLost as error:
                codes.append(error.code)
        return codes[0], codes[1], time.monotonic() - started


def test_a_rank_that_hangs_is_told_in_the_configured_time(pool: Pool, tiny_config: Config) -> None:
    (first, again, seconds), _ = pool.run(2, hang, odd(tiny_config), timeout_s=2.0)
    assert (first, again) == ("rank_lost", "rank_lost")
    assert 1.5 < seconds < 5.5


def test_a_rank_that_dies_is_told_at_once(tiny_config: Config, tmp_path: Path) -> None:
    pool = Pool(2, tmp_path)
    try:
        pool.start(2, die, odd(tiny_config), timeout_s=60.0)
        ((code, seconds),) = pool.answers([0])
    finally:
        pool.close()
    assert code == "rank_lost"
    assert seconds < 30


def die(ranks: Ranks, config: Config) -> tuple[str, float]:
    with Engine(together(config, ranks), ranks) as engine:
        session = engine.open(picture_of(0))
        session.push(speech(CHUNK))
        if ranks.rank == 1:
            import os

            os._exit(1)
        started = time.monotonic()
        try:
            session.step()
        except WorkerLost as error:
            return error.code, time.monotonic() - started
    return "", 0.0


def test_a_rank_that_never_comes_is_told(tmp_path: Path) -> None:
    config = ParallelConfig(ranks=2, start_s=0.5)
    with pytest.raises(WorkerLost, match="did not meet") as caught:
        Ranks.join(Place(0, 2, 0, f"file://{tmp_path}/meet"), torch.device("cpu"), config)
    assert caught.value.code == "rank_missing"


@pytest.mark.parametrize(
    ("changes", "place", "word"),
    [
        ({"ranks": 3}, Place(0, 2, 0, "file:///nowhere"), "rank 0 of 2"),
        ({"ranks": 2}, Place(2, 2, 2, "file:///nowhere"), "rank 2 of 2"),
        ({"ranks": 2, "backend": "nccl"}, Place(0, 2, 0, "file:///nowhere"), "use auto"),
    ],
)
def test_places_that_do_not_fit_are_refused(changes: dict[str, object], place: Place, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Ranks.join(place, torch.device("cpu"), ParallelConfig(**changes))  # type: ignore[arg-type]


def test_a_process_that_is_alone_refuses_to_be_many(tiny_config: Config) -> None:
    with pytest.raises(ConfigError, match="this process is alone"):
        Engine(replace(tiny_config, {"parallel.ranks": 2}))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ranks": 3, "ulysses_degree": 2}, "divide ranks"),
        ({"ranks": 3, "ulysses_degree": 3}, "2 heads"),
        ({"timeout_s": 0}, "greater than 0"),
    ],
)
def test_degrees_that_do_not_divide_are_refused(tiny_config: Config, changes: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        replace(tiny_config, {f"parallel.{name}": value for name, value in changes.items()})


def test_degrees_for_forty_heads() -> None:
    """Ulysses where heads divide; a ring where they do not."""
    degrees = [ParallelConfig(ranks=ranks).degrees(40) for ranks in range(1, 9)]
    assert degrees == [(1, 1), (2, 1), (1, 3), (4, 1), (5, 1), (2, 3), (1, 7), (8, 1)]
