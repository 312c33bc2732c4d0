"""Peak memory of a long render: `python -m tests.soak --minutes 60 --json FILE`. Not part of the test run.

Makes that much speech-like sound on disk, renders it through `flashtalk generate` in a process of its own and reads
that process's memory from outside. Law: under 10 MB of growth after the first minute of film.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

RATE = 16000
ALLOWED_BYTES = 10_000_000
PORTRAIT = Path(__file__).parent.parent / "assets" / "portraits" / "anna.png"


def write_sound(path: Path, minutes: float) -> None:
    """Noise in syllables and pauses, minute by minute."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for _ in range(round(minutes * 6)):
            time_s = np.arange(10 * RATE) / RATE
            envelope = np.clip(np.sin(2 * np.pi * 3.7 * time_s), 0, 1) * (np.sin(2 * np.pi * 0.15 * time_s) > -0.6)
            file.write((0.1 * envelope * rng.standard_normal(len(time_s))).astype(np.float32))


class Watch:
    """Frames done, as the program prints them, and memory, as the system counts it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.frames = 0
        self.last_line = ""
        self.samples: list[dict[str, float]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def run(self, interval_s: float) -> int:
        started, process = time.monotonic(), psutil.Process(self._process.pid)
        while self._process.poll() is None:
            try:
                memory, peak = process.memory_info().rss, peak_bytes(process.pid)
            except (psutil.NoSuchProcess, OSError):
                break
            row = {"wall_s": time.monotonic() - started, "film_s": self.frames / 25}
            self.samples.append({**row, "rss_bytes": memory, "peak_bytes": peak})
            time.sleep(interval_s)
        return self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.last_line = line.strip()
            found = re.search(r"frame (\d+)", line)
            self.frames = int(found.group(1)) if found else self.frames


def peak_bytes(pid: int) -> float:
    """The most memory that a process ever held, as Linux keeps it."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 1024.0 * int(found.group(1)) if found else 0.0


def report(samples: list[dict[str, float]]) -> dict[str, float]:
    """Peak memory at the end against peak memory when the first minute of film was done; slope of what is held."""
    later = [sample for sample in samples if sample["film_s"] >= 60]
    seconds, held = (np.array([sample[name] for sample in later]) for name in ("film_s", "rss_bytes"))
    first, last = later[0]["peak_bytes"], later[-1]["peak_bytes"]
    return {
        "peak_after_first_minute_bytes": first,
        "peak_bytes": last,
        "growth_bytes": last - first,
        "slope_bytes_per_hour": float(np.polyfit(seconds / 3600, held, 1)[0]),
    }


def main() -> int:
    """0 if the law held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--interval-s", type=float, default=5)
    parser.add_argument("generate", nargs="*", help="more arguments of `flashtalk generate`, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sound, film = Path(folder) / "sound.flac", Path(folder) / "film.mp4"
        write_sound(sound, options.minutes)
        command = [sys.executable, "-m", "flashtalk", "generate", "--portrait", str(PORTRAIT)]
        command += ["--audio", str(sound), "--output", str(film), *options.generate]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        watch = Watch(process)
        status = watch.run(options.interval_s)
        time.sleep(0.5)
    result = {"command": " ".join(["flashtalk generate", *options.generate]), "minutes": options.minutes}
    result |= {"exit_status": status, "last_line": watch.last_line.partition(": ")[2]}
    result |= {**report(watch.samples), "samples": watch.samples}
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    print({name: value for name, value in result.items() if name != "samples"})
    return int(status != 0 or result["growth_bytes"] > ALLOWED_BYTES)


if __name__ == "__main__":
    sys.exit(main())
