"""Imports the modules named on the command line and writes down what that did; test_architecture.py runs it alone.

    python -m tests.import_probe REPORT.json PACKAGE_FOLDER LIBRARY_NAME,... MODULE,...

Only what our own code causes counts: what a library does while it is being imported is its own affair,
so the names that our code takes from libraries are imported first.
"""

from __future__ import annotations

import importlib
import json
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

OPTIONAL = ("flash_attn", "flash_attn_interface", "sageattention", "triton", "xfuser", "yunchang")
SIDE_EFFECTS = ("open", "os.", "shutil.", "tempfile.", "socket.", "subprocess.", "ctypes.dlopen", "signal.")


class Watch:
    """Notes side effects whose nearest cause, going outward from the call, is our package and not an import."""

    def __init__(self, package: Path) -> None:
        self.package = str(package)
        self.seen: list[str] = []
        self.on = True
        sys.addaudithook(self._audit)
        environ, original = type(os.environ), type(os.environ).__getitem__

        def read(mapping: os._Environ[str], name: str) -> str:
            self._note(f"reads the environment variable {name}")
            return original(mapping, name)

        environ.__getitem__ = read

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event.startswith(SIDE_EFFECTS):
            self._note(f"{event}{tuple(map(str, arguments))}")

    def _note(self, what: str) -> None:
        frame: FrameType | None = sys._getframe(1)
        while self.on and frame is not None and "importlib" not in frame.f_code.co_filename:
            file = frame.f_code.co_filename
            if file.startswith(self.package):
                self.seen.append(f"{Path(file).name}:{frame.f_lineno}: {what}")
                return
            frame = frame.f_back


def state() -> dict[str, object]:
    """What one process shares, and an import must leave alone."""
    import numpy as np
    import torch

    return {
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's default device": str(torch.get_default_device()),
        "gradients on": torch.is_grad_enabled(),
        "torch threads": torch.get_num_threads(),
        "torch random state": torch.get_rng_state().sum().item(),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "CUDA context open": torch.cuda.is_initialized(),
        "numpy random state": int(np.random.get_state()[1].sum()),
        "python random state": hash(random.getstate()),
        "threads": threading.active_count(),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "interrupt handler": str(signal.getsignal(signal.SIGINT)),
        "log level": logging.getLogger().level,
        "log handlers": len(logging.getLogger().handlers),
        "working folder": str(Path.cwd()),
        "sys.path": tuple(sys.path),
        **{f"environment variable {name}": value for name, value in os.environ.items()},
    }


def import_name(name: str) -> None:
    """Import a module, or the module that holds the object of that dotted name."""
    first, *rest = name.split(".")
    found = importlib.import_module(first)
    for part in rest:
        found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")


def import_all(names: list[str]) -> None:
    for name in names:
        try:
            import_name(name)
        except ModuleNotFoundError as error:
            if str(error.name).split(".")[0] not in OPTIONAL:
                raise


def main(report: str, package: str, libraries: str, modules: str) -> None:
    import_all(libraries.split(","))
    before = state()
    watch = Watch(Path(package))
    import_all(modules.split(","))
    watch.on = False
    after = state()
    pairs = [(what, before.get(what), after.get(what)) for what in sorted({*before, *after})]
    changed = [f"{what} went from {old} to {new}" for what, old, new in pairs if old != new]
    Path(report).write_text(json.dumps(watch.seen + changed), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
