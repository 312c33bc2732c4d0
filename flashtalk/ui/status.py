"""The line under the stage: what happens now, how fast, how long still. HTML that a screen reader follows."""

from __future__ import annotations

import math
from html import escape

from flashtalk.ui.film import InLine
from flashtalk.ui.pace import Pace
from flashtalk.ui.texts import Pair, Texts

TEXTS: dict[str, Pair] = {
    "status.idle": (
        "Choose a face and a voice, or press one of the faces above.",
        "选择人物和声音，或点击上方的人物。",
    ),
    "status.start": ("Looking at the picture and listening to the voice", "正在读取照片和声音"),
    "status.line": ("All seats are taken. Your place in line: {place}", "座位已满，您排在第 {place} 位"),
    "status.restart": (
        "The model starts again; this goes on as soon as it is there.",
        "模型正在重启，就绪后会自动继续。",
    ),
    "status.hold": ("Getting ahead, so that it plays without a stop", "正在预先生成，以便流畅播放"),
    "status.making": ("Making and playing", "边生成边播放"),
    "status.done": ("Done: {seconds} s of film in {wall} s", "完成：{seconds} 秒视频，用时 {wall} 秒"),
    "status.cancelled": ("Stopped. What was made so far stays to watch.", "已停止，已生成的部分仍可观看。"),
    "status.unseen": ("Stopped before the film began.", "已停止，视频尚未开始播放。"),
    "status.fps": ("frames a second", "帧/秒"),
    "status.factor": ("of real time", "实时速度"),
    "status.left": ("left", "后完成"),
    "status.seconds": ("{seconds} s", "{seconds} 秒"),
}


def idle(texts: Texts, key: str = "status.idle") -> str:
    """Before anything was asked for; the visitor's language is not known yet, so the page chooses."""
    words = texts.html(key)
    return f'<div class="ft-status"><div class="ft-bar"></div><p>{words}</p><div class="ft-figures"></div></div>'


def plain(texts: Texts, key: str, language: str, **values: object) -> str:
    """One sentence, no figures."""
    return _box(escape(texts.say(key, language, **values)), 0.0, "")


def moving(texts: Texts, key: str, language: str, part: float = 0.0, **values: object) -> str:
    """A sentence for work whose length is not known."""
    return _box(escape(texts.say(key, language, **values)), part, "", busy=True)


def waiting(texts: Texts, language: str, in_line: InLine, part: float = 0.0) -> str:
    """For whom nothing is made yet, and why."""
    key = "status.restart" if in_line.is_starting else "status.line"
    return moving(texts, key, language, part, place=in_line.place)


def making(texts: Texts, key: str, language: str, pace: Pace) -> str:
    """Figures while a film is made; static/player.js reads the data."""
    figures = (
        (f"{pace.made_fps:.1f}", texts.say("status.fps", language)),
        (f"{pace.realtime_factor:.2f}×", texts.say("status.factor", language)),
        (_seconds(texts, pace.left_s, language), texts.say("status.left", language)),
    )
    wait_words = escape(texts.say("status.hold", language))
    data = f'data-lead-s="{pace.lead_s:.2f}" data-made-s="{pace.made_s:.2f}" data-wait-words="{wait_words}"'
    return _box(escape(texts.say(key, language)), pace.part, _figures(figures), busy=True, data=data)


def done(texts: Texts, language: str, *, frames: int, film_s: float, wall_s: float) -> str:
    """The last word on a film of `film_s` that took `wall_s`."""
    figures = (
        (f"{frames / wall_s:.1f}", texts.say("status.fps", language)),
        (f"{film_s / wall_s:.2f}×", texts.say("status.factor", language)),
    )
    words = texts.say("status.done", language, seconds=f"{film_s:.1f}", wall=f"{wall_s:.1f}")
    return _box(escape(words), 1.0, _figures(figures))


def failed(words: str) -> str:
    """What went wrong, as a sentence that says what to do."""
    return f'<div class="ft-status ft-failed" role="alert"><p>{escape(words)}</p></div>'


def _figures(figures: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"<span><b>{escape(value)}</b> {escape(unit)}</span>" for value, unit in figures)


def _box(words: str, part: float, figures: str, *, busy: bool = False, data: str = "") -> str:
    percent = round(100 * min(1.0, part))
    bar = (
        f'<div class="ft-bar" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-label="{words}"><i style="width:{percent}%"></i></div>'
    )
    kind = " ft-busy" if busy else ""
    return (
        f'<div class="ft-status{kind}" data-part="{percent}" {data}>{bar}'
        f'<p aria-live="polite">{words}</p><div class="ft-figures">{figures}</div></div>'
    )


def _seconds(texts: Texts, seconds: float, language: str) -> str:
    return texts.say("status.seconds", language, seconds=math.ceil(seconds))
