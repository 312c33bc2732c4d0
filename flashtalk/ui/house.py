"""How the house stands, told on the page: what runs, and a line for those who have to wait. For ui/frame.py.

The page asks `GET ft/house` every few seconds; the words are here, static/house.js shows the right ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from flashtalk.engine.engine import EngineInfo
from flashtalk.serving.protocol import ServiceStatus
from flashtalk.ui.texts import Pair, Texts

TEXTS: dict[str, Pair] = {
    "house.runs": ("{model} model · {machine} · {dtype}", "{model} 模型 · {machine} · {dtype}"),
    "house.cores": ("CPU, {cores} cores", "CPU，{cores} 核"),
    "house.untrained": ("untrained weights: pictures will be noise", "权重未训练：画面将是噪声"),
    "house.waking": (
        "The model is waking up. What you ask for begins as soon as it is there.",
        "模型正在启动，就绪后会自动开始。",
    ),
    "house.full": (
        "All {seats} seats are taken; {line} in line. Yours begins when it is your turn.",
        "{seats} 个座位已满，{line} 人排队中。轮到您时会自动开始。",
    ),
    "house.cut": (
        "Cut off: the server went away. Press again when it is back.",
        "已中断：服务器已断开，恢复后请重新开始。",
    ),
    "house.lost": ("The server does not answer; this page keeps trying.", "服务器无响应，页面正在重试。"),
    "house.locked": ("You are not logged in any more; load the page again.", "登录已失效，请重新加载页面。"),
}
_LINES = ("waking", "full", "lost", "locked", "cut")
"""cut is for the status lines of films, see static/house.js; the others are states of the house."""
_NAMES = {"bfloat16": "bf16", "float16": "fp16"}


def standing(status: ServiceStatus) -> Mapping[str, object]:
    """What the page asks for: a state (ready, full, waking) and figures."""
    full = status.seats_free < 1 or status.queue_length > 0
    return {
        "state": "waking" if not status.ready else "full" if full else "ready",
        "seats": status.seats_used + status.seats_free,
        "line": status.queue_length,
    }


def pill(texts: Texts, info: EngineInfo) -> str:
    """What runs and on which machine, as HTML; its lamp shows the state."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    dtype = _NAMES.get(info.dtype, info.dtype)
    machine = "@machine@"
    words = texts.html("house.runs", model=info.model, machine=machine, dtype=dtype)
    here = texts.html("house.cores", cores=cores) if info.device.startswith("cpu") else info.device.upper()
    untrained = "" if info.trained else f" · {texts.html('house.untrained')}"
    return (
        f'<span class="ft-pill"><i aria-hidden="true"></i><span>{words.replace(machine, here)}{untrained}</span></span>'
    )


def notice(texts: Texts) -> str:
    """The line for those who have to wait; hidden until static/house.js sets its state."""
    shown = {name: texts.html(f"house.{name}", seats="@seats@", line="@line@") for name in _LINES}
    lines = "".join(f'<p data-for="{name}">{words}</p>' for name, words in shown.items())
    for name in ("seats", "line"):
        lines = lines.replace(f"@{name}@", f'<b data-figure="{name}">–</b>')
    return f'<div class="ft-house" role="status" data-state="ready">{lines}</div>'
