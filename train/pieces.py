"""Rows of tensors on disk: each rank writes those it holds, any rank reads any rows. Used by train/states.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.tensor import DTensor

from flashtalk.checkpoint import write_tensors
from flashtalk.errors import CheckpointError
from train.ranks import Ranks
from train.weights import ReadRows, own_piece, own_rows

FILE_BYTES = 2 << 30
"""A rank writes files of about this size, so that the host never holds more than one of them."""

Index = dict[str, dict[str, Any]]
"""Tensor name -> file, start (the first row in it), rows, shape (of the whole tensor): plain data for JSON."""


def write_pieces(tensors: Iterable[tuple[str, Tensor]], folder: Path, ranks: Ranks) -> Index:
    """Write this rank's rows of `tensors`; what is not sharded is written by the first rank. Raises CheckpointError."""
    index: Index = {}
    own = ((name, tensor) for name, tensor in tensors if _is_mine(tensor, ranks))
    for count, batch in enumerate(_batches(own)):
        file = f"pieces-{ranks.rank:05}-{count:04}.safetensors"
        write_tensors(folder / file, {name: _on_host(own_piece(tensor)) for name, tensor in batch})
        for name, tensor in batch:
            start, end = own_rows(tensor)
            index[name] = {"file": file, "start": start, "rows": end - start, "shape": list(tensor.shape)}
    return index


@dataclass(frozen=True)
class _Piece:
    file: Path
    start: int
    rows: int


class Pieces:
    """The tensors of a folder, put together from the indices of all ranks; use as a context manager."""

    def __init__(self, folder: Path, indices: Iterable[Index]) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._pieces: dict[str, list[_Piece]] = {}
        for index in indices:
            for name, entry in index.items():
                self.shapes[name] = tuple(entry["shape"])
                piece = _Piece(folder / entry["file"], entry["start"], entry["rows"])
                self._pieces.setdefault(name, []).append(piece)
        self._open, self._files = ExitStack(), dict[Path, safe_open]()

    def check(self, wanted: Mapping[str, Tensor]) -> None:
        """Whether these are exactly the tensors `wanted`. Raises CheckpointError."""
        rows = [f"missing  {name}" for name in wanted if name not in self.shapes]
        rows += [f"extra    {name}" for name in self.shapes if name not in wanted]
        rows += [
            f"shape    {name}  is {self.shapes[name]}, the run wants {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if self.shapes.get(name, tuple(tensor.shape)) != tuple(tensor.shape)
        ]
        if rows:
            listed = "\n".join(f"  {row}" for row in rows[:20])
            raise CheckpointError(f"the saved run is another ({len(rows)} differences):\n{listed}")

    def whole(self, name: str) -> Tensor:
        """A full tensor, on the CPU."""
        shape = self.shapes[name]
        return self.reader(name)(0, shape[0] if shape else 1).view(shape)

    def reader(self, name: str) -> ReadRows:
        """Rows of a tensor as they are asked for; a tensor without dimensions has one."""

        def read(start: int, end: int) -> Tensor:
            parts = list(self._overlapping(name, start, end))
            found = sum(len(part) for part in parts)
            if found != end - start:
                raise CheckpointError(f"{name}: {found} of rows {start}..{end} were saved; go back to an earlier step")
            return torch.cat(parts)

        return read

    def _overlapping(self, name: str, start: int, end: int) -> Iterator[Tensor]:
        for piece in sorted(self._pieces[name], key=lambda piece: piece.start):
            low, high = max(start, piece.start), min(end, piece.start + piece.rows)
            if low < high:
                yield self._reader(piece.file).get_slice(name)[low - piece.start : high - piece.start]

    def _reader(self, file: Path) -> safe_open:
        if file not in self._files:
            try:
                self._files[file] = self._open.enter_context(safe_open(file, framework="pt"))
            except (SafetensorError, OSError):
                raise CheckpointError(
                    f"{file.name} of {file.parent.name} is missing or cut off; go back to an earlier step"
                ) from None
        return self._files[file]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _is_mine(tensor: Tensor, ranks: Ranks) -> bool:
    if not isinstance(tensor, DTensor):
        return ranks.is_first
    return ranks.writes_shards and own_piece(tensor).numel() > 0


def _on_host(piece: Tensor) -> Tensor:
    host = piece.detach().cpu()
    return host if host.ndim else host[None]


def _batches(tensors: Iterable[tuple[str, Tensor]]) -> Iterator[list[tuple[str, Tensor]]]:
    batch: list[tuple[str, Tensor]] = []
    held = 0
    for name, tensor in tensors:
        batch.append((name, tensor))
        held += own_piece(tensor).nbytes
        if held >= FILE_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
