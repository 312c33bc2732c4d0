"""All figures of faults in one go: `python -m tests.soak_faults [--share 0.1] [--only rank,app] [--json FILE]`.

Prints a table with the targets beside the figures; the exit status is 1 if one is missed. --share 0.1 takes a tenth of
the trials: too few for a percentile, enough to see that it works. Everything but `seats` runs the real engine of
--config.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import torch

from flashtalk.config import Config
from flashtalk.config_file import load_config, to_tree
from flashtalk.engine.bench import SpeechLoop, draw_portrait
from flashtalk.engine.engine import Engine
from flashtalk.engine.machine import machine
from flashtalk.errors import FlashTalkError, InputError, Overloaded
from flashtalk.serving.client import connect
from flashtalk.serving.health import ready
from flashtalk.serving.protocol import Client, Stream
from tests.serving.fakes import FakeHouse
from tests.serving.test_house import interleave, twenty_on_two_seats

LIMIT_S = 120.0
POLL_S = 0.005
CHUNK = 28 * 640
MOST_LEFT_S = 5.0
MEMORY_MIB = 64

APP = """
import json, sys
from flashtalk.config import Config
from flashtalk.config_file import from_tree
from flashtalk.serving.client import connect
from tests.soak_faults import Film
house = connect(from_tree(Config, json.load(open(sys.argv[1]))))
film = Film(house)
film.next()
sys.stdout.write("up\\n")
sys.stdout.flush()
for _ in sys.stdin:
    for _ in range(3):  # those that were made before the blow, and one that was not
        film.next()
    sys.stdout.write("on\\n")
    sys.stdout.flush()
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table; `most` (or `least`) is the target, if there is one."""

    name: str
    value: float
    trials: int
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is reached."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)


def percentiles(name: str, values: list[float], most: float | None = None) -> list[Figure]:
    """Median and p99; the target is the p99's."""
    median, p99 = (round(float(np.percentile(values, part)), 3) for part in (50, 99))
    return [Figure(f"{name}, p50", median, len(values)), Figure(f"{name}, p99", p99, len(values), most)]


# Ranks that die and hang.


class Film:
    """One endless stream, and the sums of its chunks' pixels."""

    def __init__(self, house: Client) -> None:
        self.stream = begin(house)
        self._speech = SpeechLoop(house.stream().sample_rate, seed=1)
        self._speech.take(house.stream().sample_rate * 4)
        self.marks: list[float] = []

    def next(self) -> None:
        self.stream.feed(self._speech.take(CHUNK))
        chunk = self.stream.next(LIMIT_S)
        assert chunk is not None
        self.marks.append(float(chunk.frames_FHWC.astype(np.float64).sum()))


def begin(house: Client) -> Stream:
    """A stream with four seconds of sound."""
    config = house.stream()
    stream = house.open(draw_portrait(config.height, config.width), realtime=True)
    stream.feed(SpeechLoop(config.sample_rate, seed=1).take(config.sample_rate * 4))
    return stream


def rank(config: Config, scale: float) -> Iterator[Figure]:
    """A rank, any of them, is killed, or stopped, 50 times each, at random moments of a stream (targets 1, 2, 3)."""
    trials, draw = max(3, round(50 * scale)), random.Random(0)
    with connect(config) as house:
        film, before = Film(house), resources()
        for name, blow, notice_s, again in (
            ("killed", signal.SIGKILL, 1.0, "/ready again, s"),
            ("hung", signal.SIGSTOP, 5.0, "/ready again after it was seen, s"),
        ):
            found: defaultdict[str, list[float]] = defaultdict(list)
            for _ in tell(name, trials):
                for figure, seconds in strike(house, film, blow, draw).items():
                    found[figure].append(seconds)
            yield from percentiles(f"rank {name}: /ready says no, s", found["noticed"], notice_s)
            yield from percentiles(f"rank {name}: {again}", found["recovered"], 3.0)
            yield from percentiles(f"rank {name}: the stream's next new chunk, s", found["next"])
        left = {name: count - before[name] for name, count in resources().items()}
    yield Figure("processes, files and threads left by all these losses", sum(max(0, n) for n in left.values()), 1, 0)
    peace = zip(film.marks, untouched(config, len(film.marks)), strict=True)
    yield Figure("chunks other than those of an engine in peace", sum(a != b for a, b in peace), len(film.marks), 0)


def strike(house: Client, film: Film, blow: signal.Signals, draw: random.Random) -> dict[str, float]:
    """One fault at a random moment; all figures of it, in seconds."""
    film.next()
    time.sleep(draw.uniform(0.0, 1.5))
    os.kill(draw.choice(house.status().processes), blow)
    struck_s = time.monotonic()
    noticed_s = until(lambda: not ready(house.status()).ok)
    recovered_s = until(lambda: ready(house.status()).ok)
    for _ in range(3):  # those that were made before the blow, and one that was not
        film.next()
    return {
        "noticed": noticed_s - struck_s,
        "recovered": recovered_s - (struck_s if blow == signal.SIGKILL else noticed_s),
        "next": time.monotonic() - struck_s,
    }


def untouched(config: Config, chunks: int) -> Iterator[float]:
    """The same film by an engine in peace; by as many ranks, since sums in another order round otherwise."""
    if config.parallel.ranks > 1:
        with connect(config) as house:
            film = Film(house)
            for _ in range(chunks):
                film.next()
        yield from film.marks
        return
    with Engine(config) as engine:
        stream, speech = config.stream, SpeechLoop(config.stream.sample_rate, seed=1)
        session = engine.open(draw_portrait(stream.height, stream.width))
        session.push(speech.take(stream.sample_rate * 4))
        for _ in range(chunks):
            session.push(speech.take(CHUNK))
            yield float(session.step().frames_FHWC.astype(np.float64).sum())


# The app dies and hangs.


def app(config: Config, scale: float) -> Iterator[Figure]:
    """The app is killed, or stopped longer than a rank may hang, 20 times each while it streams (target 4).

    Killed, stopped or not, whatever it started must be gone within 5 s; continued, its stream goes on."""
    trials = max(2, round(20 * scale))
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "config.json"
        settings.write_text(json.dumps(to_tree(config)))
        scratch = Path(folder) / "tmp"
        scratch.mkdir()
        shared = resources()["shared"]
        gone = [kill_app(settings, scratch) for _ in tell("app killed", trials)]
        hung = [hang_app(settings, scratch, config.serving.hang_s) for _ in tell("app hung", trials)]
        left = len(list(scratch.iterdir())) + max(0, resources()["shared"] - shared)
    yield from percentiles("app killed: its last process is gone, s", gone, MOST_LEFT_S)
    yield from percentiles("app hung: the stream's next new chunk, s", [on_s for on_s, _ in hung], MOST_LEFT_S)
    yield from percentiles("app killed while it hangs: its last process is gone, s", [s for _, s in hung], MOST_LEFT_S)
    yield Figure("app killed: temporary and shared files left", left, 2 * trials, 0)


@contextmanager
def streaming_app(settings: Path, scratch: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One whose first chunk is there; it must be killed inside."""
    command, env = [sys.executable, "-c", APP, str(settings)], {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as child:
        assert child.stdout
        assert child.stdout.readline() == b"up\n"
        yield child


def kill_app(settings: Path, scratch: Path) -> float:
    """Seconds until all its processes are gone."""
    with streaming_app(settings, scratch) as child:
        return killed(child)


def hang_app(settings: Path, scratch: Path, hang_s: float) -> tuple[float, float]:
    """Seconds until its stream goes on after it hung, and until all its processes are gone when it hangs again."""
    with streaming_app(settings, scratch) as child:
        assert child.stdin
        assert child.stdout
        child.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * hang_s)
        child.send_signal(signal.SIGCONT)
        struck_s = time.monotonic()
        child.stdin.write(b"on\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"on\n"
        on_s = time.monotonic() - struck_s
        child.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        return on_s, killed(child)


def killed(child: subprocess.Popen[bytes]) -> float:
    """Seconds until nothing that it started runs any more."""
    started = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    struck_s = time.monotonic()
    return until(lambda: not any(lives(one) for one in started)) - struck_s


def lives(one: psutil.Process) -> bool:
    """Whether it runs; one that only waits for the system to take note of its end does not."""
    try:
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# A killer that never rests.


def monkey(config: Config, scale: float) -> Iterator[Figure]:
    """For 10 minutes the rank is killed every 5 s, while two visitors come and go (target 5)."""
    ends_s = time.monotonic() + 600 * scale
    ended: list[str] = []
    kills = 0
    with connect(config) as house, ThreadPoolExecutor(2) as pool:
        visits = [pool.submit(come_and_go, house, ends_s, ended) for _ in range(2)]
        while time.monotonic() < ends_s:
            time.sleep(5.0)
            with suppress(IndexError, ProcessLookupError):
                os.kill(house.status().processes[0], signal.SIGKILL)
                kills += 1
        for visit in visits:
            visit.result(LIMIT_S)
    yield Figure("monkey: kills", kills, 1)
    yield Figure(
        "monkey: sessions that finish, %", round(100 * ended.count("done") / len(ended), 1), len(ended), least=95
    )
    yield Figure("monkey: sessions that are stuck", ended.count("stuck"), len(ended), 0)


def come_and_go(house: Client, ends_s: float, ended: list[str]) -> None:
    """Sessions of five chunks."""
    while time.monotonic() < ends_s:
        try:
            with begin(house) as stream:
                stream.feed(SpeechLoop(stream.config.sample_rate).take(2 * CHUNK))
                stream.finish()
                while stream.next(LIMIT_S) is not None:
                    pass
            ended.append("done")
        except TimeoutError:
            ended.append("stuck")
        except FlashTalkError as error:
            ended.append(error.code)


# Visitors: too many, too slow, gone.


def crowd(config: Config, scale: float) -> Iterator[Figure]:
    """A full house; ten times as many knock again and again (target 11), and nobody calls it unready (3)."""
    watch_s = max(6.0, 40 * scale)
    with connect(replace(config, serving=replace(config.serving, line=1, wait_s=LIMIT_S))) as house:
        seats = [begin(house) for _ in range(config.serving.seats)]
        speed(seats, watch_s / 4)
        alone = speed(seats, watch_s)
        stop, refused, unready = threading.Event(), [], []
        knockers = [threading.Thread(target=knock, args=(house, stop, refused)) for _ in range(10 * len(seats))]
        probe = threading.Thread(target=poll, args=(house, stop, unready))
        for thread in (*knockers, probe):
            thread.start()
        crowded = speed(seats, watch_s)
        stop.set()
        for seat in seats:
            seat.close()
        for thread in (*knockers, probe):
            thread.join()
    yield Figure("crowd: frames a second of all seats in peace", round(alone, 2), 1)
    yield Figure("crowd: speed lost with ten times as many at the door, %", round(100 * (1 - crowded / alone), 1), 1, 5)
    yield from percentiles("crowd: refused with a place in line, s", refused, 0.2)
    yield Figure("crowd: /ready said no to a busy engine", sum(unready), len(unready), 0)


def speed(seats: list[Stream], watch_s: float) -> float:
    """Frames a second that all seats together get."""

    def watch(seat: Stream) -> int:
        frames = 0
        while time.monotonic() < ends_s:
            seat.feed(np.zeros(CHUNK, np.float32))
            chunk = seat.next(LIMIT_S)
            frames += len(chunk.frames_FHWC) if chunk else 0
        return frames

    began_s = time.monotonic()
    ends_s = began_s + watch_s
    with ThreadPoolExecutor(len(seats)) as pool:
        frames = sum(pool.map(watch, seats))
    return frames / (time.monotonic() - began_s)


def knock(house: Client, stop: threading.Event, refused: list[float]) -> None:
    """Once a second; the one who stands in the line leaves it in the end."""

    def leave(_place: int) -> None:
        if stop.is_set():
            raise InterruptedError

    face = draw_portrait(64, 64)
    while not stop.wait(1.0):
        began_s = time.monotonic()
        try:
            house.open(face, on_place=leave).close()
        except Overloaded:
            refused.append(time.monotonic() - began_s)
        except InterruptedError:
            return


def poll(house: Client, stop: threading.Event, unready: list[bool]) -> None:
    """Whether /ready is wrong, ten times a second."""
    while not stop.wait(0.1):
        unready.append(not ready(house.status()).ok)


def clients(config: Config, scale: float) -> Iterator[Figure]:
    """One who sends and never takes, one who vanishes, one who hangs up (target 10); 200 sessions leave nothing."""
    idle_s, me = 5.0, psutil.Process()
    with connect(replace(config, serving=replace(config.serving, idle_s=idle_s))) as house:
        begin(house).close()
        until(lambda: house.status().seats_used == 0)
        before = me.memory_info().rss
        with begin(house) as seat:
            with suppress(InputError):
                while True:  # until it is told that too much waits
                    seat.feed(np.ones(10 * seat.config.sample_rate, np.float32))
            grown = (me.memory_info().rss - before) / 2**20
        closed_s = time.monotonic()
        freed_s = until(lambda: house.status().seats_used == 0) - closed_s
        begin(house)
        vanished_s = time.monotonic()
        lost_s = until(lambda: house.status().seats_used == 0) - vanished_s
        yield Figure("client never takes: the app's memory grows, MiB", round(grown, 1), 1, MEMORY_MIB)
        yield Figure("client hangs up: its seat is free, s", round(freed_s, 3), 1, 15)
        yield Figure("client vanishes: its seat is free later than idle_s, s", round(lost_s - idle_s, 3), 1, 15)
        yield from leaks(house, max(20, round(200 * scale)))


def leaks(house: Client, sessions: int) -> Iterator[Figure]:
    """Sessions that end in all ways; the first ones fill caches."""
    ranks = [psutil.Process(pid) for pid in house.status().processes]
    for number in range(sessions + 20):
        if number == 20:
            until(lambda: house.status().seats_used == 0)
            before, memory = resources(), [one.memory_info().rss for one in (psutil.Process(), *ranks)]
        with begin(house) as stream:
            if number % 4 == 0:
                stream.finish()
            if number % 2 == 0:
                stream.next(LIMIT_S)
            if number % 8 == 6:
                stream.interrupt()
    until(lambda: house.status().seats_used == 0)
    for name, count in resources().items():
        yield Figure(f"sessions come and go: {name} more than before", count - before[name], sessions, 0)
    for name, one, was in zip(("app", "rank"), (psutil.Process(), *ranks), memory, strict=False):
        grown = (one.memory_info().rss - was) / 2**20
        yield Figure(f"sessions come and go: memory of the {name} grows, MiB", round(grown, 1), sessions, MEMORY_MIB)


# What needs no networks.


def seats(config: Config, scale: float) -> Iterator[Figure]:
    """200 interleavings of 2-4 visitors (target 12), 20 visitors on 2 seats; over engines that stamp their frames."""
    fast = replace(config, serving=replace(config.serving, beat_s=0.05, wait_s=LIMIT_S, seats=4, variants={}))
    count = max(20, round(200 * scale))
    with FakeHouse(fast) as house:
        foreign = sum(not interleave(house, seed) for seed in tell("interleavings", count))
    yield Figure("interleavings of 2-4 visitors with a foreign or missing frame", foreign, count, 0)
    places = twenty_on_two_seats(fast)
    yield Figure("20 visitors on 2 seats: were told their place", sum(bool(told) for told in places), 20, least=20)
    backwards = sum(told != sorted(told, reverse=True) for told in places)
    yield Figure("20 visitors on 2 seats: places that grew", backwards, 20, 0)


def disk(_config: Config, scale: float) -> Iterator[Figure]:
    """Long videos on a disk that is full at each write point, and on a small tmpfs (target 8); see soak_jobs.py."""
    command = [sys.executable, "-m", "tests.soak_jobs", "--disk-full", "--every", str(max(1, round(1 / scale)))]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    report = json.loads(done.stdout)
    yield Figure("disk full: write points with a wrong end or another film", len(report["wrong"]), report["tried"], 0)
    yield Figure("disk full: sizes of a small disk that were tried", report["sizes_of_a_disk_tried"], 1)


Part = Callable[[Config, float], Iterator[Figure]]
PARTS: dict[str, Part] = {part.__name__: part for part in (rank, app, monkey, crowd, clients, seats, disk)}


def until(true: Callable[[], bool]) -> float:
    """The moment at which it is."""
    limit_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < limit_s, "it did not happen"
        time.sleep(POLL_S)
    return time.monotonic()


def resources() -> dict[str, int]:
    """What this process holds."""
    me, shared = psutil.Process(), Path("/dev/shm")
    return {
        "processes": len(me.children(recursive=True)),
        "files": me.num_fds(),
        "threads": me.num_threads(),
        "shared": len(list(shared.iterdir())) if shared.is_dir() else 0,
    }


def tell(name: str, trials: int) -> Iterator[int]:
    """Counts, aloud."""
    for trial in range(trials):
        yield trial
        if (trial + 1) % max(1, trials // 10) == 0:
            sys.stderr.write(f"  {name} {trial + 1}/{trials}\n")


def line(figure: Figure) -> str:
    """Of the table."""
    target = f"<= {figure.most:g}" if figure.most is not None else f">= {figure.least:g}" if figure.least else ""
    verdict = ("met" if figure.met else "MISSED") if target else ""
    return f"{figure.name:72} {figure.value:>9g} {target:>8} {verdict:6} {figure.trials:>5} trials"


def main() -> int:
    """0 if all targets are met."""
    lines = "\n".join(f"  {name:8} {part.__doc__}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nParts:\n{lines}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--share", type=float, default=1.0, help="of all trials and minutes")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args()
    sets = dict(pair.split("=", 1) for pair in asked.set)
    config = load_config(asked.config, {name: json.loads(value) for name, value in sets.items()})
    report: dict[str, list[Figure]] = {}
    for name in asked.only.split(","):
        sys.stderr.write(f"{name}: {PARTS[name].__doc__}\n")
        report[name] = list(PARTS[name](config, asked.share))
        sys.stdout.write("".join(f"{line(figure)}\n" for figure in report[name]))
        sys.stdout.flush()
    if asked.json:
        figures = {name: [asdict(one) | {"met": one.met} for one in found] for name, found in report.items()}
        text = json.dumps({"figures": figures, "machine": machine(torch.device("cpu"))}, indent=1)
        asked.json.write_text(text + "\n", "utf-8")
    return int(not all(figure.met for found in report.values() for figure in found))


if __name__ == "__main__":
    sys.exit(main())
