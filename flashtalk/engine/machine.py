"""What a measurement ran on: the machine and the versions of what computes. Used by bench.py and engine.py."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from flashtalk import __version__
from flashtalk.config import Config
from flashtalk.config_file import to_tree

_NO_MATTER = ("flashtalk", "python")
"""Versions that change no number."""


def machine(device: torch.device) -> dict[str, Any]:
    """What it ran on."""
    facts: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(logical=False),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        facts |= {"gpu": gpu.name, "gpu_memory_bytes": gpu.total_memory}
    return facts


def numerics(device: torch.device, config: Config) -> str:
    """What decides the last bits of results, in words: who is told the same computes the same, bit for bit."""
    facts = machine(device)
    cpu = f"{facts['cpu']}, {torch.backends.cpu.get_cpu_capability()}, {facts['threads']} threads"
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items() if name not in _NO_MATTER)
    ways = json.dumps([to_tree(config.runtime), to_tree(config.parallel)], sort_keys=True)
    mark = hashlib.sha256(ways.encode()).hexdigest()[:16]
    return f"{facts.get('gpu', cpu)}, {libraries}, ranks: {config.parallel.ranks}, settings {mark}"


def versions() -> dict[str, str]:
    """Of what computes."""
    found = {"flashtalk": __version__, "python": platform.python_version(), "torch": torch.__version__}
    if torch.version.cuda:
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    return found


def _cpu_name() -> str:
    return next(iter(_cpu_models()), platform.processor() or "unknown")


def _cpu_models() -> Iterator[str]:
    """What Linux knows; other systems answer platform.processor()."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
