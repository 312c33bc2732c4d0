"""What travels from the child that opens uploads to its parent: small records of a kind, a JSON header and raw bytes.

Written by door_child.py, read by door.py, which trusts nothing in them.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

READY, ARRAY, INFO, FAILED, END = b"R", b"A", b"I", b"E", b"Z"

_HEAD = struct.Struct("<cHI")
_MAX_HEADER_BYTES = 4096
_DTYPES = ("uint8", "float32")


class BrokenRecord(Exception):
    """The bytes are no record: the child died in the middle, or is no longer itself."""


@dataclass(frozen=True)
class Record:
    """One message; `body` is empty but for ARRAY."""

    kind: bytes
    header: dict[str, Any]
    body: bytes = b""

    def array(self) -> np.ndarray:
        """The array of an ARRAY record. Raises BrokenRecord if header and bytes do not fit."""
        dtype, shape = self.header.get("dtype"), self.header.get("shape")
        if self.kind != ARRAY or dtype not in _DTYPES or not isinstance(shape, list) or not 1 <= len(shape) <= 3:
            raise BrokenRecord
        if not all(type(length) is int and length > 0 for length in shape):
            raise BrokenRecord
        if len(self.body) != math.prod(shape) * np.dtype(dtype).itemsize:
            raise BrokenRecord
        return np.frombuffer(self.body, dtype).reshape(shape)


def write_record(target: BinaryIO, kind: bytes, header: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Send one record. `header` takes up to 4 KB as JSON."""
    text = json.dumps(header).encode()
    assert len(text) <= _MAX_HEADER_BYTES
    target.write(_HEAD.pack(kind, len(text), len(body)) + text)
    target.write(body)
    target.flush()


def write_array(target: BinaryIO, array: np.ndarray) -> None:
    """Send one array."""
    header = {"dtype": str(array.dtype), "shape": list(array.shape)}
    write_record(target, ARRAY, header, np.ascontiguousarray(array).data.cast("B"))


def read_record(source: BinaryIO, max_bytes: int) -> Record:
    """The next record, its body at most `max_bytes`. Raises BrokenRecord."""
    kind, header_bytes, body_bytes = _HEAD.unpack(_exactly(source, _HEAD.size))
    if header_bytes > _MAX_HEADER_BYTES or body_bytes > max_bytes:
        raise BrokenRecord
    try:
        header = json.loads(_exactly(source, header_bytes))
    except (ValueError, RecursionError):
        raise BrokenRecord from None
    if not isinstance(header, dict):
        raise BrokenRecord
    return Record(kind, header, _exactly(source, body_bytes))


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise BrokenRecord
    return data
