"""`python -m tests.soak_live --minutes 10`: a live conversation in Chromium; prints delay by stage, drift and stalls.

Not a test of `make test`, because it takes minutes: run by hand, figures for docs/results.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from flashtalk.config_file import load_config
from flashtalk.serving.client import connect
from flashtalk.ui.tabs.microphone import live_of
from tests.ui.live_browser import FIGURES, browser_page, make_context, make_speech, served_page

STAGES = ("listen", "wait", "compute", "encode", "network", "buffer")
LOOK_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak_live", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--config", default="cpu", help="a name in configs/serve, or a file")
    parser.add_argument("--steps", type=int, default=2, help="denoising steps; 4 or 2")
    parser.add_argument("--isolated", action="store_true", help="the engine in its own process, as the app has it")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args()
    looks = soak(asked.minutes * 60, asked.config, asked.steps, isolated=asked.isolated)
    figures = summary(looks)
    print("\n".join(f"{name:32} {value}" for name, value in figures.items()))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def soak(seconds: float, config: str, steps: int, *, isolated: bool) -> list[dict[str, Any]]:
    """What the page knows of itself, every two seconds."""
    looks = []
    with (
        tempfile.TemporaryDirectory() as folder,
        connect(load_config(config, {"stream.steps": steps}), isolated=isolated) as client,
    ):
        context = make_context(client, Path(folder))
        speech = make_speech(Path(folder) / "turns.wav")
        with served_page(context) as address, browser_page(speech) as tab:
            tab.goto(address)
            tab.wait_for_selector("#ft-live-pass [data-token]", state="attached")
            tab.click(".ft-live [data-do=start]")
            ends_s = time.monotonic() + seconds
            while time.monotonic() < ends_s:
                tab.wait_for_timeout(1000 * LOOK_S)
                looks.append(tab.evaluate(FIGURES) | {"at_s": time.monotonic()})
            tab.click(".ft-live [data-do=start]")
        live_of(context).sessions.close()
    return looks


def summary(looks: list[dict[str, Any]]) -> dict[str, Any]:
    """Delay by stage (median), how sound and picture stay together, and what was lost."""
    settled = looks[5:] or looks
    delays_s = [look["delay_s"] for look in settled if look["delay_s"] is not None]
    early, late = (np.median([np.median(look["skews"][-50:]) for look in part]) for part in first_and_last(settled))
    played = (looks[-1]["now"] - looks[0]["now"]) / (looks[-1]["context_s"] - looks[0]["context_s"])
    skews = np.abs(np.concatenate([look["skews"][-50:] for look in settled]))
    return {
        "minutes": round((looks[-1]["at_s"] - looks[0]["at_s"]) / 60, 2),
        "first picture after click, ms": round(looks[0]["first_ms"]),
        "mouth to picture, s, median": round(float(np.median(delays_s)), 2),
        "mouth to picture, s, 95 %": round(float(np.percentile(delays_s, 95)), 2),
        **{
            f"  {name}, s": round(float(np.median([look["stages"].get(name, 0) for look in settled])), 3)
            for name in STAGES
        },
        "sound to picture, ms, 95 %": round(1000 * float(np.percentile(skews, 95)), 1),
        "drift sound to picture, ms": round(1000 * float(late - early), 1),
        "stream seconds per real second": round(played, 4),
        "queue ran dry, times": looks[-1]["queue"]["underruns"],
        "pictures shown": looks[-1]["painted"],
        "pictures late": looks[-1]["late"],
        "pictures left out": looks[-1]["dropped"],
        "reconnected": looks[-1]["reconnects"],
    }


def first_and_last(looks: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first and the last fifth."""
    fifth = max(1, len(looks) // 5)
    return looks[:fifth], looks[-fifth:]


if __name__ == "__main__":
    main()
