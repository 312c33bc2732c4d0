"""From a device to the host and back, without waiting. Used by pipeline/outlet.py and pipeline/session.py."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_host(tensor: Tensor) -> Tensor:
    """On the host; from a GPU into page-locked memory and without waiting: read it after the device was waited for."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    return host_room(tuple(tensor.shape), tensor.dtype, tensor.device).copy_(tensor, non_blocking=True)


def host_room(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Room on the host for what comes from `device`, page-locked if that is a GPU."""
    return torch.empty(shape, dtype=dtype, pin_memory=device.type == "cuda")


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """On the device; to a GPU through page-locked memory and without waiting. On a CPU the same memory."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
