"""Faults by hand: kills and stops ranks under a stream, kills apps, and prints how fast all was well again.

    python -m tests.soak_faults [--config cpu] [--trials 50] [--apps 20] [--set stream.steps=2 ...]

Figures are seconds: `noticed` from the blow to /ready saying no, `recovered` from the blow to /ready saying yes, `next`
from the blow to the stream's next chunk that was not made before it, `gone` from the app's death to its rank's. At the
end the stream's frames are compared with those of an engine that nothing happened to. JSON on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import torch

from flashtalk.config import Config
from flashtalk.config_file import load_config
from flashtalk.engine.bench import SpeechLoop, draw_portrait, machine
from flashtalk.engine.engine import Engine
from flashtalk.serving.client import connect
from flashtalk.serving.health import ready
from flashtalk.serving.protocol import Client, Stream

LIMIT_S = 120.0
POLL_S = 0.005
Figures = dict[str, list[float]]

APP = """
import sys
from flashtalk.serving.client import connect
from tests.soak_faults import read_config, stream_of
house = connect(read_config(sys.argv[1:]))
stream = stream_of(house)
stream.next(60)
sys.stdout.write(f"{house.status().processes[0]}\\n")
sys.stdout.flush()
sys.stdin.read()
"""


class Film:
    """One endless stream, and a running checksum of its frames' means."""

    def __init__(self, house: Client) -> None:
        self.stream = stream_of(house)
        self._speech = SpeechLoop(house.stream().sample_rate, seed=1)
        self._speech.take(house.stream().sample_rate * 4)
        self.marks: list[float] = []

    def next(self) -> None:
        self.stream.feed(self._speech.take(28 * 640))
        chunk = self.stream.next(LIMIT_S)
        assert chunk is not None
        self.marks.append(float(chunk.frames_FHWC.astype(np.float64).sum()))


def stream_of(house: Client) -> Stream:
    config = house.stream()
    stream = house.open(draw_portrait(config.height, config.width), realtime=True)
    stream.feed(SpeechLoop(config.sample_rate, seed=1).take(config.sample_rate * 4))
    return stream


def strike(house: Client, film: Film, blow: signal.Signals, draw: random.Random) -> dict[str, float]:
    """One fault at a random moment; all figures of it."""
    film.next()
    time.sleep(draw.uniform(0.0, 1.5))
    os.kill(house.status().processes[0], blow)
    struck_s = time.monotonic()
    noticed_s = until(lambda: not ready(house.status()).ok) - struck_s
    recovered_s = until(lambda: ready(house.status()).ok) - struck_s
    for _ in range(3):  # those that were made before the blow, and one that was not
        film.next()
    return {"noticed": noticed_s, "recovered": recovered_s, "next": time.monotonic() - struck_s}


def kill_app(arguments: list[str]) -> float:
    """Kill an app that streams; seconds until its rank is gone."""
    command = [sys.executable, "-c", APP, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as app:
        assert app.stdout
        pid = int(app.stdout.readline())
        app.kill()
        struck_s = time.monotonic()
        return until(lambda: not psutil.pid_exists(pid)) - struck_s


def until(true: Callable[[], bool]) -> float:
    """The moment at which it is."""
    limit_s = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < limit_s, "it did not happen"
        time.sleep(POLL_S)
    return time.monotonic()


def untouched(config: Config, chunks: int) -> Iterator[float]:
    """The same film by an engine in peace."""
    with Engine(config) as engine:
        stream, speech = config.stream, SpeechLoop(config.stream.sample_rate, seed=1)
        session = engine.open(draw_portrait(stream.height, stream.width))
        session.push(speech.take(stream.sample_rate * 4))
        for _ in range(chunks):
            session.push(speech.take(28 * 640))
            yield float(session.step().frames_FHWC.astype(np.float64).sum())


def summary(figures: Figures) -> dict[str, dict[str, float]]:
    return {
        name: {
            "trials": len(values),
            "p50": round(float(np.percentile(values, 50)), 3),
            "p99": round(float(np.percentile(values, 99)), 3),
            "max": round(max(values), 3),
        }
        for name, values in figures.items()
    }


def resources() -> dict[str, int]:
    me = psutil.Process()
    shared = Path("/dev/shm")
    return {
        "processes": len(me.children(recursive=True)),
        "files": me.num_fds(),
        "threads": me.num_threads(),
        "shared": len(list(shared.iterdir())) if shared.is_dir() else 0,
    }


def read_config(arguments: list[str]) -> Config:
    options = parser().parse_args(arguments)
    sets = dict(pair.split("=", 1) for pair in options.set)
    return load_config(options.config, {name: json.loads(value) for name, value in sets.items()})


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="cpu")
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--apps", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON")
    return parser


def main(arguments: list[str]) -> None:
    options, config, draw = parser().parse_args(arguments), read_config(arguments), random.Random(0)
    figures: dict[str, Figures] = {"killed": defaultdict(list), "stopped": defaultdict(list)}
    with connect(config) as house:
        film = Film(house)
        before = resources()
        for name, blow in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP)):
            for trial in range(options.trials):
                for figure, seconds in strike(house, film, blow, draw).items():
                    figures[name][figure].append(seconds)
                print(f"{name} {trial + 1}/{options.trials}", file=sys.stderr)
        after = resources()
        status = house.status()
    gone = [kill_app(arguments) for _ in range(options.apps)]
    differing = sum(a != b for a, b in zip(film.marks, untouched(config, len(film.marks)), strict=True))
    report = {
        "rank": {name: summary(found) for name, found in figures.items()},
        "app": summary({"gone": gone}) if gone else {},
        "engines lost": {why: status.counts.get(why, 0) for why in ("died", "hung")},
        "chunks": len(film.marks),
        "chunks that differ from an engine in peace": differing,
        "before": before,
        "after": after,
        "machine": machine(torch.device("cpu")),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
