"""The child that opens one upload: the file is its standard input, arrays leave by its standard output, then it ends.

Started by door.py as `python -m flashtalk.serving.door_child ORDER`, ORDER being JSON; imported by nobody else.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from flashtalk.errors import InputError
from flashtalk.serving.door_cage import limit_resources, shut
from flashtalk.serving.door_records import END, FAILED, INFO, READY, write_array, write_record

_NEEDED = {
    "picture": ("flashtalk.media.image", "PIL.TiffImagePlugin"),
    "sound": (*("flashtalk.media.audio", "av.subtitles.stream", "av.subtitles.codeccontext", "av.subtitles.subtitle"),),
}
"""Imported before the cage is shut, what libraries import late included; nothing can be afterwards."""

_ENCODINGS = ("ascii", "latin-1", "utf-8", "utf-16-le", "utf-16-be", "unicode_escape")


def main(text: str) -> None:
    """Do what the order says; see door.py for its fields."""
    order = json.loads(text)
    source, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    held = limit_resources(order["memory_bytes"], order["cpu_s"])
    _import_all(order["kind"])
    _silence()
    held += shut(order["parent"])
    write_record(results, READY, {"held": held})
    _report(_WORK[order["kind"]], source, results, order)
    os._exit(0)  # tidying up takes time and calls that the cage does not know


def _report(work: Callable[..., None], source: BinaryIO, results: BinaryIO, order: dict[str, Any]) -> None:
    try:
        work(source, results, order)
        write_record(results, END, {})
    except InputError as error:
        write_record(results, FAILED, {"code": error.code, "message": str(error)[:1000]})
    except MemoryError:
        write_record(results, FAILED, {"code": "memory"})
    except Exception as error:  # its name is all that may leave; a missing import would show here
        write_record(results, FAILED, {"code": "fault", "message": f"{type(error).__name__} {error}"[:1000]})


def _picture(source: BinaryIO, results: BinaryIO, order: dict[str, Any]) -> None:
    from flashtalk.media.image import open_portrait  # noqa: PLC0415 (a sound's child does without)
    from flashtalk.media.limits import ImageLimits  # noqa: PLC0415

    write_array(results, open_portrait(source, ImageLimits(**order["limits"])))


def _sound(source: BinaryIO, results: BinaryIO, order: dict[str, Any]) -> None:
    from flashtalk.media.audio import probe_audio, read_audio  # noqa: PLC0415 (a picture's child does without)
    from flashtalk.media.limits import AudioLimits  # noqa: PLC0415

    limits = AudioLimits(**order["limits"])
    info = probe_audio(source, limits)
    source.seek(0)
    channels = order["channels"] or min(info.channels, 2)
    write_record(results, INFO, {"channels": channels, "duration_s": info.duration_s})
    for block in read_audio(source, sample_rate=order["sample_rate"], channels=channels, limits=limits):
        write_array(results, block)


def _silence() -> None:
    """What libraries write must not get into the results."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nowhere, handle)


def _import_all(kind: str) -> None:
    for name in _NEEDED[kind]:
        importlib.import_module(name)
    for encoding in _ENCODINGS:
        b"".decode(encoding)


_WORK: dict[str, Callable[..., None]] = {"picture": _picture, "sound": _sound}

if __name__ == "__main__":
    main(sys.argv[1])
