"""By hand: `python -m tests.soak_jobs --kills 100`: long videos under random kill -9, and how their memory grows.

Prints what was killed when, whether the film is byte for byte the one never killed, and the most memory held.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flashtalk.serving.door import Door
from flashtalk.serving.jobs.record import JobFolder
from flashtalk.serving.jobs.room import JobRoom
from tests.serving.job_kit import JOBS, PlainClient, order_of, tiny, write_inputs


def peak_mb(pid: int) -> float:
    """The most that a process held so far; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def run(folder: Path, kill_after_s: float | None) -> tuple[int, float]:
    """Chunks made, and peak memory in MB, of one process that is killed or ends by itself."""
    chunks, memory, begun_s = 0, 0.0, None
    with subprocess.Popen(
        [sys.executable, "-m", "tests.serving.job_kit", str(folder)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        for _ in child.stdout:
            chunks, memory = chunks + 1, max(memory, peak_mb(child.pid))
            begun_s = begun_s or time.monotonic()
            if kill_after_s is not None and time.monotonic() - begun_s > kill_after_s:
                child.kill()
    return chunks, memory


def order(folder: Path, inputs: tuple[Path, Path]) -> str:
    """A job that waits in the folder; its id."""
    room = JobRoom(folder, PlainClient(tiny()), Door(), JOBS)  # type: ignore[arg-type]
    return room.submit(order_of(inputs)).id


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the film")
    chosen = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        inputs = write_inputs(base, chosen.seconds)
        (base / "whole").mkdir()
        whole = order(base / "whole", inputs)
        chunks, memory = run(base / "whole", None)
        print(f"never killed: {chunks} chunks, at most {memory:.0f} MB")
        wanted = JobFolder(base / "whole" / whole).film.read_bytes()
        kills = made = films = 0
        while kills < chosen.kills:
            folder = base / f"killed-{films}"
            folder.mkdir()
            job = order(folder, inputs)
            film = JobFolder(folder / job).film
            while not film.exists() and kills < chosen.kills:
                made, kills = made + run(folder, rng.uniform(0, 1.5))[0], kills + 1
            made += run(folder, None)[0]
            films += 1
            same = film.read_bytes() == wanted
            print(f"film {films}: {kills} kills so far, {'the same film' if same else 'ANOTHER FILM'}", flush=True)
            if not same:
                sys.exit(1)
        print(f"{kills} kills, {films} films, {made - films * chunks} chunks made twice")


if __name__ == "__main__":
    main()
