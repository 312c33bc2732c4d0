"""Files of saved streams <-> snapshots and waiting sound: a seat can leave and come back. For seat.py and client.py."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from flashtalk.config import StreamConfig
from flashtalk.pipeline import session_file

_WAITING, _CLOCK = "sound.waiting", "sound.clock"


@dataclass(frozen=True)
class SavedStream:
    """A stream between two chunks."""

    config: StreamConfig
    chunks: int
    """Chunks that were made."""
    start: int
    """Sample with which the next chunk begins."""
    snapshot: bytes
    """As Session.snapshot gives it: without sound."""
    waiting_S: np.ndarray
    """The sound from `start` on."""
    ended: bool


def read_stream(path: Path, fingerprint: str) -> SavedStream:
    """What Session.save or `write_stream` wrote. Raises InputError."""
    header, tensors = session_file.read(path, fingerprint)
    waiting_S = tensors[_WAITING].numpy()
    bare = dataclasses.replace(header, ended=False)
    snapshot = session_file.dump(bare, tensors | {_WAITING: torch.empty(0)})
    start = int(tensors[_CLOCK][0])
    return SavedStream(header.stream, header.chunk_index, start, snapshot, waiting_S, header.ended)


def write_stream(path: Path, snapshot: bytes, waiting_S: np.ndarray, fingerprint: str, *, ended: bool) -> None:
    """The inverse, whole or not at all. Raises EngineError."""
    header, tensors = session_file.load(snapshot, "the snapshot", fingerprint)
    full = tensors | {_WAITING: torch.from_numpy(waiting_S)}
    session_file.write(path, dataclasses.replace(header, ended=ended), full)
