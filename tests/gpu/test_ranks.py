"""The laws of tests/parallel on GPUs, with NCCL: 2 and 4 of them give what one gives."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from flashtalk.config import Config, DiTConfig
from flashtalk.config_codec import WanVAEConfig
from flashtalk.config_file import replace, to_tree
from flashtalk.config_parallel import ParallelConfig
from flashtalk.models.vae import WanVAE
from flashtalk.ops.attention import select_attention
from flashtalk.parallel.groups import Ranks
from flashtalk.parallel.vae import RowCodec
from tests.parallel.pool import Pool
from tests.parallel.test_engine_ranks import film, odd, split_film
from tests.parallel.test_sequence import velocities

pytestmark = pytest.mark.gpu

WORLDS = [2, 4]
SIZES_PX = [(720, 416), (512, 512), (832, 480), (400, 656), (768, 448)]
"""Width and height. Of 33 frames 720x416 has 10,530 tokens, which do not divide by 4, and 52 rows."""
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    pool = Pool(min(4, torch.cuda.device_count()), tmp_path_factory.mktemp("ranks"), "cuda")
    yield pool
    pool.close()


def exact() -> AbstractContextManager[None]:
    """cuDNN without TF32."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def needs(world: int) -> None:
    if torch.cuda.device_count() < world:
        pytest.skip(f"needs {world} GPUs")


def wide(config: Config) -> DiTConfig:
    """Two layers with heads as wide as those of the 14B, whose kernels they use."""
    return dataclasses.replace(config.model.dit, dim=512, ffn_dim=1024, num_heads=4)


def cells(compiler: str = "") -> list[tuple[int, int, int]]:
    return [(9, height // 8, width // 8) for width, height in (SIZES_PX[:1] if compiler else SIZES_PX)]


def on_gpu(
    config: DiTConfig, dtype: torch.dtype, compiler: str = "", parts: tuple[Ranks, ParallelConfig] | None = None
) -> list[Tensor]:
    attend = select_attention("auto", GPU, dtype)[1]
    with torch.inference_mode(), exact():
        return velocities(config, cells(compiler), dtype, parts, device="cuda", compiler=compiler, attend=attend)


def split_on_gpu(ranks: Ranks, parallel: ParallelConfig, *arguments: Any) -> list[Tensor]:
    warnings.simplefilter("ignore")  # the compiler's own, and xDiT's
    return on_gpu(*arguments, (ranks, parallel))


def error(part: Tensor, whole: Tensor) -> float:
    return float((part - whole).norm() / whole.norm())


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    ("dtype", "degree", "compiler", "bound"),
    [
        (torch.float32, None, "", 1e-4),
        (torch.float32, 1, "", 1e-4),
        # Shares change which tiles a product is summed in: rounding of half precision, 2^-9, in each of two layers.
        (torch.bfloat16, None, "", 1e-2),
        (torch.bfloat16, 1, "", 1e-2),
        (torch.bfloat16, 2, "", 1e-2),
        (torch.bfloat16, None, "inductor", 2e-2),
        (torch.bfloat16, 1, "inductor", 2e-2),
    ],
)
def test_the_split_transformer_is_the_whole_one(
    pool: Pool, tiny_config: Config, world: int, dtype: torch.dtype, degree: int | None, compiler: str, bound: float
) -> None:
    """Ulysses, rings and both, at five sizes; compiled at one, against the same network in eager mode."""
    needs(world)
    config, parallel = wide(tiny_config), ParallelConfig(ranks=world, ulysses_degree=degree)
    alone = on_gpu(config, dtype)
    for parts in pool.run(world, split_on_gpu, parallel, config, dtype, compiler):
        assert len(parts) == len(cells(compiler))
        errors = [error(part, whole) for part, whole in zip(parts, alone, strict=False)]
        assert max(errors) < bound, errors


@pytest.mark.parametrize("compiler", ["", "inductor"])
@pytest.mark.parametrize("world", WORLDS)
def test_xdit_gives_the_same(tiny_config: Config, tmp_path: Path, world: int, compiler: str) -> None:
    """Processes of their own: the package makes its groups once."""
    needs(world)
    pytest.importorskip("xfuser")
    config, parallel = wide(tiny_config), ParallelConfig(ranks=world, exchange="xfuser")
    alone, own_pool = on_gpu(config, torch.bfloat16), Pool(world, tmp_path, "cuda")
    try:
        for parts in own_pool.run(world, split_on_gpu, parallel, config, torch.bfloat16, compiler, exchange="xfuser"):
            errors = [error(part, whole) for part, whole in zip(parts, alone, strict=False)]
            assert max(errors) < 2e-2, errors
    finally:
        own_pool.close()


def there_and_back(dtype: torch.dtype, ranks: Ranks | None = None) -> list[Tensor]:
    torch.manual_seed(1)
    vae = WanVAE(WanVAEConfig(base_dim=32)).to("cuda", dtype).eval().requires_grad_(False)
    codec = RowCodec(vae, ranks.team) if ranks else vae
    made, draw = [], torch.Generator().manual_seed(2)
    with torch.inference_mode(), exact():
        for width, height in SIZES_PX:
            latents = torch.randn(1, codec.latent_channels, 2, height // 8, width // 8, generator=draw).cuda()
            pixels = codec.decode(latents)
            made += [pixels.cpu(), codec.encode(torch.rand(pixels.shape, generator=draw).cuda()).cpu()]
    return made


def split_there_and_back(ranks: Ranks, dtype: torch.dtype) -> list[Tensor]:
    return there_and_back(dtype, ranks)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
def test_the_split_codec_is_the_whole_one(pool: Pool, world: int, dtype: torch.dtype, bound: float) -> None:
    """Half precision: another algorithm of a convolution rounds otherwise, in each of some thirty."""
    needs(world)
    alone = there_and_back(dtype)
    for parts in pool.run(world, split_there_and_back, dtype):
        errors = [error(part, whole) for part, whole in zip(parts, alone, strict=True)]
        assert max(errors) < bound, errors


@pytest.mark.parametrize("world", WORLDS)
def test_a_session_is_the_one_rank_session(pool: Pool, tiny_wan_config: Config, world: int) -> None:
    """Three chunks in float32, from the picture to bytes."""
    needs(world)
    config = replace(odd(tiny_wan_config), {"runtime.device": "cuda"})
    alone = exact_film(config)
    for frames in pool.run(world, split_exact_film, config):
        difference = np.abs(frames - alone)
        assert difference.max() <= 2
        assert difference.mean() < 0.02


def exact_film(config: Config) -> np.ndarray:
    with exact():
        return film(config)


def split_exact_film(ranks: Ranks, config: Config) -> np.ndarray:
    with exact():
        return split_film(ranks, config)


@pytest.mark.parametrize("world", WORLDS)
def test_torchrun_starts_ranks_too(tiny_wan_config: Config, tmp_path: Path, world: int) -> None:
    needs(world)
    config = replace(tiny_wan_config, {"runtime.device": "cuda", "runtime.dtype": "bfloat16"})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(to_tree(config)), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    command = [*launcher, "-m", "flashtalk", "bench", "--config", str(tmp_path / "tiny.yaml"), "--chunks", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{world} x ") == 1
