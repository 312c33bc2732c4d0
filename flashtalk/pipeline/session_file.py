"""The file that a stream is saved in: one safetensors file, written whole or not at all. Called by pipeline/session."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.config_file import from_tree
from flashtalk.errors import ConfigError, EngineError, InputError
from flashtalk.types import ColourReference, Portrait

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is not a tensor."""

    fingerprint: str
    stream: StreamConfig
    colour_strength: float
    chunk_index: int
    frame: int
    fresh: bool
    ended: bool
    format: int = FORMAT


def write(path: Path, header: Header, tensors: dict[str, Tensor]) -> None:
    """Write under a temporary name, then rename: a kill leaves the old file or the new one. Raises EngineError."""
    # Copies: the first chunk's motion latents are the portrait's own, and the format refuses shared memory.
    on_host = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = save(on_host, metadata={"header": json.dumps(asdict(header))})
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise EngineError(f"the session could not be saved to {path.name}: {error.strerror}", code="save") from None


def read(path: Path, fingerprint: str) -> tuple[Header, dict[str, Tensor]]:
    """The saved stream. Raises InputError if it is damaged, of another format or of another model."""
    try:
        with safe_open(path, framework="pt") as file:
            header = from_tree(Header, json.loads((file.metadata() or {})["header"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (OSError, SafetensorError, KeyError, ValueError, ConfigError) as error:
        raise InputError(f"{path.name} is not a saved session: {type(error).__name__}", code="session_file") from None
    if header.format != FORMAT or header.fingerprint != fingerprint:
        raise InputError(
            f"{path.name} was saved by {header.fingerprint} (format {header.format}), but this engine is "
            f"{fingerprint} (format {FORMAT}): use the same model, weights and precision",
            code="session_model",
        )
    return header, tensors


def portrait_tensors(portrait: Portrait) -> dict[str, Tensor]:
    """A portrait as named tensors."""
    return {
        "portrait.reference": portrait.reference_CTHW,
        "portrait.motion": portrait.motion_CTHW,
        "portrait.image": portrait.image_LD,
        "portrait.colour": torch.stack((portrait.colour.mean, portrait.colour.std)),
    }


def portrait_from(tensors: dict[str, Tensor]) -> Portrait:
    """The inverse of `portrait_tensors`."""
    mean, std = tensors["portrait.colour"]
    return Portrait(
        reference_CTHW=tensors["portrait.reference"],
        motion_CTHW=tensors["portrait.motion"],
        image_LD=tensors["portrait.image"],
        colour=ColourReference(mean, std),
    )
