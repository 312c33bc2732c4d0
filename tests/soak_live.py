"""`python -m tests.soak_live --minutes 10 --isolated`: a live conversation in Chromium, figures as JSON.

Delay by stage, sound against pictures, stalls, memory, open files; half-way the line breaks. Takes minutes: run by
`make soak`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from flashtalk.config_file import load_config
from flashtalk.serving.client import connect
from flashtalk.serving.protocol import Client
from tests.ui.live_browser import FIGURES, browser_page, make_speech, open_tab, served_page, talking

STAGES = ("listen", "wait", "compute", "encode", "network", "buffer")
LOOK_S = 2.0
SETTLED_LOOKS = 5
CHUNK_S = 1.12
PAGE = "document.querySelector('.ft-live').page"
OVERHEAD_S = 0.4
MOST_SKEW_MS = 80

Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak_live", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--config", default="cpu", help="a name in configs/serve, or a file")
    parser.add_argument("--isolated", action="store_true", help="the engine in its own process, as the app has it")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args()
    found = summary(soak(asked.minutes * 60, asked.config, isolated=asked.isolated))
    text = json.dumps(found, indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n", "utf-8")
    raise SystemExit(not found["held"])


def soak(seconds: float, config: str, *, isolated: bool) -> list[Figures]:
    """What the page and the processes know of themselves, every two seconds."""
    looks = []
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(load_config(config), isolated=isolated) as client,
    ):
        speech = make_speech(Path(folder) / "turns.wav")
        with served_page(client, Path(folder)) as address, browser_page(speech) as tab:
            open_tab(tab, address)
            talking(tab)
            began_s, back_s = time.monotonic(), None
            while time.monotonic() < began_s + seconds:
                tab.wait_for_timeout(1000 * LOOK_S)
                if back_s is None and time.monotonic() > began_s + seconds / 2:
                    back_s = break_the_line(tab)
                looks.append(tab.evaluate(FIGURES) | held(client) | {"at_s": time.monotonic(), "back_s": back_s})
            tab.click(".ft-live [data-do=start]")
    return looks


def break_the_line(tab: Any) -> float:
    """Seconds until new pictures are seen. Raises if there are none within 30 s."""
    began_s = time.monotonic()
    tab.evaluate(f"() => {PAGE}.conversation.wire.socket.close()")
    tab.wait_for_function(f"() => {PAGE}.conversation.wire.reconnects > 0")
    painted = tab.evaluate(FIGURES)["painted"]
    tab.wait_for_function(f"() => {PAGE}.conversation.player.figures.painted > {painted} + 5", timeout=30_000)
    return time.monotonic() - began_s


def held(client: Client) -> Figures:
    """What our processes hold of the machine now."""
    return {
        "app_mib": resident_mib(os.getpid()),
        "engine_mib": sum(resident_mib(process) for process in client.status().processes),
        "files": psutil.Process().num_fds(),
    }


def resident_mib(process: int) -> float:
    return float(psutil.Process(process).memory_info().rss) / 2**20


def summary(looks: list[Figures]) -> Figures:
    """Delay by stage (median), how sound and picture stay together, what was lost, what grew."""
    settled = looks[SETTLED_LOOKS:] or looks
    delays_s = [look["delay_s"] for look in settled if look["delay_s"] is not None]
    first, last = first_and_last(settled)
    early_s, late_s = (np.median(np.concatenate([look["skews"][-50:] for look in part])) for part in (first, last))
    skews_ms = 1000 * np.abs(np.concatenate([look["skews"][-50:] for look in settled]))
    compute_s = float(np.median([look["stages"]["compute"] for look in settled]))
    delay_s = float(np.median(delays_s))
    end = looks[-1]
    return {
        "minutes": round((end["at_s"] - looks[0]["at_s"]) / 60, 2),
        "first_picture_after_click_ms": round(looks[0]["first_ms"]),
        "mouth_to_picture_s": spread(delays_s),
        "beyond_chunk_and_compute_s": round(delay_s - CHUNK_S - compute_s, 3),
        "stages_s": {name: round(float(np.median([look["stages"][name] for look in settled])), 3) for name in STAGES},
        "sound_to_picture_ms": spread(skews_ms),
        "drift_ms": round(1000 * float(late_s - early_s), 1),
        "stream_seconds_per_second": round((end["now"] - looks[0]["now"]) / (end["at_s"] - looks[0]["at_s"]), 4),
        "queue_ran_dry": end["queue"]["underruns"],
        "pictures": {"shown": end["painted"], "late": end["late"], "left_out": end["dropped"]},
        "speech_left_out_s": end["words_lost_s"],
        "reconnected": end["reconnects"],
        "back_after_broken_line_s": round(end["back_s"], 2),
        "grew": {name: grown(first, last, name) for name in ("app_mib", "engine_mib", "heap_mib", "files")},
        "held": delay_s < CHUNK_S + compute_s + OVERHEAD_S
        and float(np.percentile(skews_ms, 95)) <= MOST_SKEW_MS
        and end["reconnects"] == 1,
    }


def spread(values: Any) -> Figures:
    return {"median": round(float(np.median(values)), 2), "p95": round(float(np.percentile(values, 95)), 2)}


def grown(first: list[Figures], last: list[Figures], name: str) -> float:
    """Medians, so that a collector's rhythm does not count."""
    return round(float(np.median([look[name] for look in last]) - np.median([look[name] for look in first])), 1)


def first_and_last(looks: list[Figures]) -> tuple[list[Figures], list[Figures]]:
    """The first and the last fifth."""
    fifth = max(1, len(looks) // 5)
    return looks[:fifth], looks[-fifth:]


if __name__ == "__main__":
    main()
