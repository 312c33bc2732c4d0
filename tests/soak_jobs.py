"""By hand: long videos under kill -9 and on a full disk. JSON on standard output; exit status 1 if a film is another.

python -m tests.soak_jobs --kills 100 [--seconds 60]   random kills: is it the film that was never killed?
python -m tests.soak_jobs --disk-full [--every 1]      no room at each write point in turn, then on a small tmpfs
python -m tests.soak_jobs --minutes 60                 one long film from its sound to its last frame: is memory flat?
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import math
import multiprocessing
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import av
import soundfile

from flashtalk.errors import FlashTalkError
from flashtalk.serving.door import Door
from flashtalk.serving.jobs.record import Job, JobFolder
from flashtalk.serving.jobs.room import JobRoom
from tests.serving.job_kit import JOBS, OWNER, RATE, PlainClient, make_all, order_of, tiny, write_inputs

WAIT_S = 120.0
DISK_SECONDS, DISK_BYTES = 2.9, 64 << 20
STEP_BYTES = 64 << 10
MINUTE_S = 60.0
MOST_GROWTH_MB = 32.0
_FULL_EVENTS = {"open", "os.rename", "os.link", "os.mkdir"}

Inputs = tuple[Path, Path]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.serving.job_kit"])  # libraries are loaded once and not for each kill


def peak_mb(pid: int) -> float:
    """The most that a process held so far; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def run(folder: Path, kill_after_s: float | None) -> list[float]:
    """Of one process that is killed or ends by itself: its peak memory in MB at each chunk."""
    peaks, begun_s = list[float](), None
    told, tells = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=_make, args=(str(folder), tells))
    child.start()
    tells.close()
    with suppress(EOFError):
        while True:
            told.recv()
            peaks.append(peak_mb(child.pid or 0))
            begun_s = begun_s or time.monotonic()
            if kill_after_s is not None and time.monotonic() - begun_s > kill_after_s:
                child.kill()
    child.join()
    return peaks


def _make(folder: str, tells: Connection) -> None:
    make_all(folder, lambda: tells.send(None))


def order(folder: Path, inputs: Inputs) -> str:
    """A job that waits in a new folder; its id."""
    folder.mkdir()
    room = JobRoom(folder, PlainClient(tiny()), Door(), JOBS)  # type: ignore[arg-type]
    return room.submit(order_of(inputs)).id


def soak_kills(base: Path, kills: int, seconds: float) -> dict[str, object]:
    """Kill films at random moments until there were so many kills."""
    inputs, rng = write_inputs(base, seconds), random.Random(0)
    whole = order(base / "whole", inputs)
    peaks = run(base / "whole", None)
    chunks = len(peaks)
    wanted = JobFolder(base / "whole" / whole).film.read_bytes()
    done = made = films = other = 0
    while done < kills:
        folder = base / f"killed-{films}"
        film = JobFolder(folder / order(folder, inputs)).film
        while not film.exists() and done < kills:
            made, done = made + len(run(folder, rng.uniform(0, 1.5))), done + 1
        made += len(run(folder, None))
        films, other = films + 1, other + (film.read_bytes() != wanted)
        print(f"{done} kills, {films} films, {other} of them not the same", file=sys.stderr)
    return {
        "kills": done,
        "films": films,
        "chunks_of_a_film": chunks,
        "films_other_than_the_one_never_killed": other,
        "chunks_made_again_per_kill": round((made - films * chunks) / done, 2),
        "chunks_between_two_journals": JOBS.journal_chunks,
        "peak_mb": round(max(peaks)),
    }


def soak_long(base: Path, minutes: float) -> dict[str, object]:
    """One film of so many minutes. Peaks are of the process that makes it, and of this one, which takes its sound."""
    inputs = write_inputs(base, MINUTE_S)
    minute_S, _ = soundfile.read(inputs[1], dtype="int16")
    with soundfile.SoundFile(inputs[1], "w", RATE, 1, "PCM_16") as file:
        for minute in range(math.ceil(minutes)):
            file.write(minute_S[: round((minutes - minute) * MINUTE_S * RATE)])
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forgets the peak so far
    before_mb, began_s = peak_mb(os.getpid()), time.monotonic()
    folder = JobFolder(base / "long" / order(base / "long", inputs))
    taken_s, taken_mb = time.monotonic() - began_s, peak_mb(os.getpid()) - before_mb
    peaks = run(base / "long", None)
    job, made_s = folder.read(), time.monotonic() - began_s - taken_s
    first_mb = peaks[round(len(peaks) / minutes) - 1]
    wrong = [f"{job.state}: {job.reason}"] * (job.state != "done")
    wrong += ["another length"] * (_frames(folder.film) != job.total_frames or job.frames != job.total_frames)
    wrong += ["memory grows"] * (peaks[-1] - first_mb > MOST_GROWTH_MB or taken_mb > MOST_GROWTH_MB)
    return {
        "minutes": minutes,
        "frames": job.frames,
        "chunks": len(peaks),
        "to_take_in_s": round(taken_s, 1),
        "growth_while_taking_in_mb": round(taken_mb, 1),
        "to_make_s": round(made_s),
        "peak_mb_after_a_minute_of_film": round(first_mb, 1),
        "growth_after_it_mb": round(peaks[-1] - first_mb, 1),
        "film_mb": round(folder.film.stat().st_size / 1e6, 1),
        "folder_mb": round(folder.bytes() / 1e6, 1),
        "wrong": wrong,
    }


def _frames(film: Path) -> int:
    with av.open(str(film)) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


class FullDisk:
    """From its `at`-th write point below `folder` on, this process finds no room there, until it is switched off."""

    def __init__(self) -> None:
        self.folder, self.at, self.seen = "", -1, 0
        sys.addaudithook(self._meet)

    @contextmanager
    def on(self, folder: Path, at: int) -> Iterator[None]:
        """Inside, the points are counted; at: -1 for none that fails."""
        self.folder, self.at, self.seen = str(folder), at, 0
        try:
            yield
        finally:
            self.folder = ""

    def _meet(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.folder or event not in _FULL_EVENTS or not str(arguments[0]).startswith(self.folder):
            return
        if event == "open" and not _writes(arguments):
            return
        self.seen += 1
        if 0 <= self.at < self.seen:
            raise OSError(errno.ENOSPC, "No space left on device")


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


@dataclasses.dataclass
class Maker:
    """Makes the same film again and again."""

    client: PlainClient
    inputs: Inputs

    def attempt(self, folder: Path) -> tuple[Job | None, str]:
        """A job on a disk that may be full: (what became of it, the sentence)."""
        try:
            with self.room(folder) as room:
                job = room.submit(order_of(self.inputs))
                job = room.wait(job.id, ("done", "paused", "failed"), WAIT_S)
                return job, job.reason
        except FlashTalkError as error:
            return None, str(error)

    def finish(self, folder: Path) -> bytes | None:
        """After there is room again and the app was started anew: the film."""
        with self.room(folder) as room:
            job = room.submit(order_of(self.inputs))
            room.resume(OWNER, job.id)
            if room.wait(job.id, ("done", "failed"), WAIT_S).state == "failed":
                return None
            return room.folder(job.id).film.read_bytes()

    def room(self, folder: Path) -> JobRoom:
        """Around the one engine."""
        return JobRoom(folder, self.client, Door(), JOBS)  # type: ignore[arg-type]


def soak_full_disk(base: Path, every: int) -> dict[str, object]:
    """No room at the first, second, third... write point; then with more and more room on a small disk of its own."""
    maker, disk = Maker(PlainClient(tiny()), write_inputs(base, DISK_SECONDS)), FullDisk()
    with disk.on(base / "whole", -1):
        maker.attempt(base / "whole")
    points, wanted = disk.seen, maker.finish(base / "whole")
    ends, wrong = Counter[str](), list[str]()
    for at in range(0, points, every):
        folder = base / f"point-{at}"
        with disk.on(folder, at):
            ends[_end(maker, folder, wrong)] += 1
        if maker.finish(folder) != wanted:
            wrong.append(f"point {at}: another film")
    with _small_disk(base / "small") as small:
        sizes = _fill_up(maker, small, wanted, ends, wrong) if small else 0
    return {"write_points": points, "tried": -(-points // every), "sizes_of_a_disk_tried": sizes} | {
        "ends": dict(ends),
        "wrong": wrong,
    }


def _end(maker: Maker, folder: Path, wrong: list[str]) -> str:
    """What became of a job without room, in a word."""
    try:
        job, words = maker.attempt(folder)
    except Exception as error:
        wrong.append(f"{folder.name}: {type(error).__name__} {error}")
        return "crashed"
    if job and job.state == "failed":
        wrong.append(f"{folder.name}: {words}")
    if words and (str(folder) in words or not words.endswith(".")):
        wrong.append(f"{folder.name}: {words!r}")
    return job.state if job else "refused"


def _fill_up(maker: Maker, disk: Path, wanted: bytes | None, ends: Counter[str], wrong: list[str]) -> int:
    """A ballast leaves so little room, then a little more, until the film fits."""
    sizes = 0
    while ends["done on a small disk"] == 0:
        sizes += 1
        ballast, folder = disk / "ballast", disk / f"room-{sizes}"
        free = os.statvfs(disk)
        ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - sizes * STEP_BYTES)))
        end = _end(maker, folder, wrong)
        ends[f"{end} on a small disk"] += 1
        ballast.unlink()
        if maker.finish(folder) != wanted:
            wrong.append(f"{folder.name}: another film")
        subprocess.run(["rm", "-r", str(folder)], check=True)
    return sizes


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """64 MB of its own, or None where that may not be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the film that is killed")
    parser.add_argument("--minutes", type=float, default=0, help="length of one long film")
    parser.add_argument("--disk-full", action="store_true")
    parser.add_argument("--every", type=int, default=1, help="try every so many-th write point only")
    asked = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as full, tempfile.TemporaryDirectory() as killed:
        if asked.disk_full:
            figures |= soak_full_disk(Path(full), asked.every)
        if asked.kills or not (asked.disk_full or asked.minutes):
            figures |= soak_kills(Path(killed), asked.kills or 20, asked.seconds)
    if asked.minutes:
        with tempfile.TemporaryDirectory() as folder:
            figures |= soak_long(Path(folder), asked.minutes)
    print(json.dumps(figures, indent=2))
    sys.exit(bool(figures.get("wrong") or figures.get("films_other_than_the_one_never_killed")))


if __name__ == "__main__":
    main()
