"""By hand: `python -m tests.soak_door [--mutations 72] [--jobs 2] [--every 1]`: bad files by the thousand at the door.

The whole corpus, each file also as the other kind, and `--mutations` damaged copies of 28 kinds of files (72: 2,016).
Law: each gives what the bare reader gives, as a sentence without anything of ours, within 5 s; the child that opens it
never holds more than 512 MB; no process is left. JSON on standard output; exit status 1 if the law is broken.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from flashtalk.config_app import DoorConfig
from flashtalk.errors import FlashTalkError, InputError
from flashtalk.media.audio import read_audio_all
from flashtalk.media.image import open_portrait
from flashtalk.serving.door import Door
from tests.media.corpus import Case, cases

MOST_S, MOST_MB = 5.0, 512
LEAK = re.compile(r"(?<![\w<])/\w|0x[0-9a-fA-F]{4}|Traceback|[a-z]+\.(?:py|so)\b|Error\b|\bav\.|PIL")


@dataclass(frozen=True)
class Seen:
    """What became of one file. `same`: as the bare reader says; `leaked`: the sentence holds what it should not."""

    name: str
    code: str
    took_s: float
    same: bool
    leaked: bool


def everything(mutations: int) -> Iterator[Case]:
    """Each file of the corpus; each whole one as what it is not, too."""
    for case in cases(mutations=mutations):
        yield case
        if not case.name.startswith("damaged_"):
            other = "image" if case.kind == "audio" else "audio"
            yield dataclasses.replace(case, name=f"swapped_{case.name}", kind=other)  # type: ignore[arg-type]


def outcome(call: Callable[[Path], np.ndarray], path: Path) -> np.ndarray | Exception:
    """What came, or the error."""
    try:
        return call(path)
    except Exception as error:
        return error


def judge(door: Door, folder: Path, case: Case) -> Seen:
    """Send one file through the door and through the bare reader."""
    path = folder / case.name
    path.write_bytes(case.make())
    readers = (door.picture, open_portrait) if case.kind == "image" else (door.sound, read_audio_all)
    started_s = time.monotonic()
    given = outcome(readers[0], path)
    took_s = time.monotonic() - started_s
    wanted = outcome(readers[1], path)
    path.unlink()
    if isinstance(given, np.ndarray):
        same = isinstance(wanted, np.ndarray) and np.array_equal(given, wanted)
        return Seen(case.name, "ok", took_s, same, leaked=False)
    code = given.code if isinstance(given, FlashTalkError) else type(given).__name__
    same = isinstance(given, InputError) and isinstance(wanted, InputError) and given.code == wanted.code
    leaked = bool(LEAK.search(str(given))) or case.name in str(given) or str(folder) in str(given)
    return Seen(case.name, code, took_s, same, leaked)


def report(seen: list[Seen], door: Door) -> dict[str, object]:
    """The figures."""
    times_s = sorted(one.took_s for one in seen)
    slowest = max(seen, key=lambda one: one.took_s)
    return {
        "files": len(seen),
        "damaged": sum(one.name.startswith("damaged_") for one in seen),
        "outcomes": dict(Counter(one.code for one in seen).most_common()),
        "unlike_the_bare_reader": [one.name for one in seen if not one.same],
        "leaked": [one.name for one in seen if one.leaked],
        "over_5_s": [one.name for one in seen if one.took_s > MOST_S],
        "median_s": round(times_s[len(times_s) // 2], 3),
        "p99_s": round(times_s[len(times_s) * 99 // 100], 3),
        "slowest": [slowest.name, round(slowest.took_s, 3)],
        "child_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "processes_left": len(psutil.Process().children(recursive=True)),
        "cage": door.status().held,
    }


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=72, help="damaged copies of each file that has some")
    parser.add_argument("--jobs", type=int, default=2, help="files at the same time")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th file only")
    asked = parser.parse_args()
    door = Door(DoorConfig(at_once=asked.jobs))
    chosen = list(everything(asked.mutations))[:: asked.every]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(asked.jobs) as pool:
        seen = list(pool.map(lambda case: judge(door, Path(scratch), case), chosen))
    figures = report(seen, door)
    print(json.dumps(figures, indent=2))
    broken = ("unlike_the_bare_reader", "leaked", "over_5_s", "processes_left")
    peak = figures["child_peak_mb"]
    sys.exit(any(figures[name] for name in broken) or (isinstance(peak, int) and peak > MOST_MB))


if __name__ == "__main__":
    main()
