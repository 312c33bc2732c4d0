"""A start of the tiny engine, compiled, in a process of its own: `python -m tests.engine.compiled_start FOLDER DEVICE`.

Prints how often the compiler found its work in the folder, how often it did not, and how many helpers it left. Run by
tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import torch
from torch._dynamo.utils import counters
from torch._inductor.async_compile import AsyncCompile

from flashtalk.config_codec import LightCodecConfig
from flashtalk.config_file import replace
from flashtalk.engine.engine import Engine
from tests.conftest import build_tiny_config

TINY = LightCodecConfig(
    latent_channels=8, encoder_width=8, decoder_widths=(8, 8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1)
)


def start_in_a_process(folder: Path, device: str) -> dict[str, int]:
    """{"hits": ..., "misses": ..., "helpers": ...}."""
    command = [sys.executable, "-m", "tests.engine.compiled_start", str(folder), device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def main(folder: str, device: str) -> None:
    torch.set_num_threads(1)
    settings = {"runtime.compile": True, "runtime.compile_cache": folder, "runtime.device": device}
    config = replace(build_tiny_config("tiny", TINY), {**settings, "stream.steps": 2, "stream.audio_context_s": 2.0})
    # What a compilation for a GPU begins with; for a CPU torch needs no helpers.
    AsyncCompile.process_pool()
    with Engine(config):
        found = counters["inductor"]
        helpers = len(psutil.Process().children(recursive=True))
        told = {"hits": found["fxgraph_cache_hit"], "misses": found["fxgraph_cache_miss"], "helpers": helpers}
        print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
