"""The random states of this process as plain data, so that a run goes on with the numbers it would have drawn."""

from __future__ import annotations

import base64
import random
from typing import Any

import numpy as np
import torch


def get_randomness(device: torch.device) -> dict[str, Any]:
    """The states of torch (CPU and `device`), numpy and random, for JSON."""
    words, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, numbers, next_gauss = random.getstate()
    state: dict[str, Any] = {
        "torch": _to_text(torch.get_rng_state()),
        "numpy": [words, np.asarray(key).tolist(), position, has_gauss, gauss],
        "random": [version, list(numbers), next_gauss],
    }
    if device.type == "cuda":
        state["cuda"] = _to_text(torch.cuda.get_rng_state(device))
    return state


def set_randomness(state: dict[str, Any], device: torch.device) -> None:
    """The inverse of `get_randomness`; a state saved without CUDA leaves CUDA's as it is."""
    torch.set_rng_state(_to_tensor(state["torch"]))
    words, key, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((words, np.array(key, dtype=np.uint32), position, has_gauss, gauss))
    version, numbers, next_gauss = state["random"]
    random.setstate((version, tuple(numbers), next_gauss))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(_to_tensor(state["cuda"]), device)


def _to_text(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _to_tensor(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
