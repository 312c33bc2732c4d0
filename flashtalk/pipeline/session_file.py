"""A stream as bytes in the safetensors layout, and the file that holds them, written whole or not at all.

Called by pipeline/session.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.config_file import from_tree
from flashtalk.errors import ConfigError, InputError
from flashtalk.media.part_file import plain_errors
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


def dump(header: Header, tensors: dict[str, Tensor]) -> bytes:
    """A stream as bytes."""
    # Copies: the first chunk's motion latents are the portrait's own, and the format refuses shared memory.
    on_host = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return save(on_host, metadata={"header": json.dumps(asdict(header))})


def load(data: bytes, name: str, fingerprint: str) -> tuple[Header, dict[str, Tensor]]:
    """The inverse of `dump`. Raises InputError, which says `name`, if it is damaged, or of another format or model."""
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        header = from_tree(Header, json.loads(metadata["header"]))
        tensors = load_tensors(data)
    except (SafetensorError, KeyError, TypeError, ValueError, ConfigError) as error:
        raise InputError(f"{name} is not a saved session: {type(error).__name__}", code="session_file") from None
    if header.format != FORMAT or header.fingerprint != fingerprint:
        raise InputError(
            f"{name} was saved by {header.fingerprint} (format {header.format}), but this engine is "
            f"{fingerprint} (format {FORMAT}): use the same model, weights and precision",
            code="session_model",
        )
    return header, tensors


def write(path: Path, header: Header, tensors: dict[str, Tensor]) -> None:
    """`dump` into a file; see `write_bytes`."""
    write_bytes(path, dump(header, tensors))


def write_bytes(path: Path, data: bytes) -> None:
    """Write under a temporary name, then rename: a kill leaves the old file or the new one.

    Raises as media/part_file.py does for disk errors: EngineError(disk_full) and others.
    """
    with plain_errors("the saved session"):
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


def read(path: Path, fingerprint: str) -> tuple[Header, dict[str, Tensor]]:
    """`load` from a file. Raises InputError."""
    return load(read_bytes(path), path.name, fingerprint)


def read_bytes(path: Path) -> bytes:
    """What `write` wrote. Raises InputError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} is not a saved session: {type(error).__name__}", code="session_file") from None


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
