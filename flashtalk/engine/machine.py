"""What a measurement ran on: the machine and the versions of what computes. Used by bench.py."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from flashtalk import __version__


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
