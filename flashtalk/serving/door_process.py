"""Starts the child that opens one upload, reads its records, and ends it when its time is up. Used by door.py only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from flashtalk.serving.door_records import Record, read_record

_FOLDER = str(Path(__file__).resolve().parents[2])
_START_S = 15.0
"""Longest time from the start of Python to the first record, on a machine that is busy."""
_LOOK_S = 0.25


class Child:
    """One process; `read` its records, then `stop` it. Its clock starts with the first record.

    Raises OSError and RuntimeError if the machine has no process or thread left; then none stays behind.
    """

    def __init__(self, file: BinaryIO, order: dict[str, object], time_s: float, s_per_byte: float = 0.0) -> None:
        self._time_s = time_s
        self._s_per_byte = s_per_byte
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "flashtalk.serving.door_child", json.dumps(order)],
            stdin=file,
            stdout=subprocess.PIPE,
            env=_clean_environment(),
            cwd=os.sep,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._results: BinaryIO = self._process.stdout  # type: ignore[assignment]
        self._started = False
        self._timed_out = False
        self._deadline_s = time.monotonic() + _START_S
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._kill_in_time, name="door-watch", daemon=True)
        try:
            self._watch.start()
        except RuntimeError:
            self._end()
            raise

    @property
    def started(self) -> bool:
        """It came as far as the file."""
        return self._started

    def read(self, max_bytes: int) -> Record:
        """The next record. Bytes that arrive earn time, `s_per_byte` each. Raises BrokenRecord."""
        record = read_record(self._results, max_bytes)
        if not self._started:
            self._started = True
            self._deadline_s = time.monotonic() + self._time_s
        self._deadline_s += len(record.body) * self._s_per_byte
        return record

    def ran_out(self) -> bool:
        """After a broken record: whether time was the reason."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        too_long = (-signal.SIGXCPU, -signal.SIGKILL) if sys.platform != "win32" else ()
        return self._timed_out or self._process.returncode in too_long

    def stop(self) -> None:
        """End it now and wait until it is gone."""
        self._over.set()
        self._end()
        self._watch.join()

    def _end(self) -> None:
        self._kill()
        self._process.wait()
        self._results.close()

    def _kill_in_time(self) -> None:
        while not self._over.wait(_LOOK_S):  # the deadline moves meanwhile
            if time.monotonic() >= self._deadline_s:
                self._timed_out = True
                self._kill()
                return

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


def _clean_environment() -> dict[str, str]:
    """Nothing of ours: no keys, no proxies, no paths but the one to this package. One thread for every library."""
    plain = {"PYTHONPATH": _FOLDER, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    plain |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return plain | ({"SYSTEMROOT": r"C:\Windows"} if sys.platform == "win32" else {})
