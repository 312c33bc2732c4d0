"""HTML of the compare tab: players in step, the difference, the table. Called by ui/tabs/compare.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any, Literal

from flashtalk.ui.measures import FilmMeasures
from flashtalk.ui.texts import Pair, Texts

TEXTS: dict[str, Pair] = {
    "compare.idle": ("Two variants are set. Press the button.", "已设置两个版本，请点击按钮。"),
    "compare.making": ("Making {letter}", "正在生成 {letter}"),
    "compare.starting": ("Starting {letter}'s model “{model}”", "正在启动 {letter} 的模型“{model}”"),
    "compare.done": (
        "Done. They play in step. A dot marks the better figure, where the difference is worth a word.",
        "完成，同步播放。差异明显时，圆点标出较好的数值。",
    ),
    "compare.stopped": ("Stopped.", "已停止。"),
    "compare.difference": ("What differs from {letter}", "与 {letter} 的差异"),
    "compare.better": ("better", "较好"),
    "compare.unseen": ("cannot tell", "无法判断"),
    "compare.fps": ("Frames a second", "帧/秒"),
    "compare.fps_more": (
        "How fast it is made; above 25 it plays without waiting.",
        "生成速度；高于 25 即可无等待播放。",
    ),
    "compare.first": ("First frame", "首帧"),
    "compare.first_more": (
        "From the start of making to the first picture; a wait in line is not in it.",
        "从开始生成到第一帧画面的时间，不含排队。",
    ),
    "compare.sync": ("Lips with sound", "唇音一致"),
    "compare.sync_more": (
        "How closely the mouth's opening follows the loudness: at most 1, about 0 by chance.",
        "张嘴程度与声音响度的相关性：最高 1，偶然约为 0。",
    ),
    "compare.lag": ("Lips behind sound", "唇动滞后"),
    "compare.lag_more": (
        "Below 0 the lips come first; up to 125 ms goes unnoticed. A few seconds of speech are needed.",
        "负值表示唇动在先；125 毫秒以内不易察觉。需要几秒钟的语音。",
    ),
    "compare.sharpness": ("Detail", "细节"),
    "compare.sharpness_more": ("Fine detail, as a share of the portrait's own.", "细节量占原照片的比例。"),
    "compare.drift": ("Detail kept", "细节保持"),
    "compare.drift_more": (
        "The last second's against the first's; 100 % is best.",
        "最后一秒与第一秒之比，100 % 最佳。",
    ),
    "compare.colour_drift": ("Colour moved", "色彩偏移"),
    "compare.colour_drift_more": (
        "From the first to the last second, in levels of 255; 0 is best.",
        "从第一秒到最后一秒，以 255 级计，0 最佳。",
    ),
    "compare.settings": ("{steps} steps · seed {seed} · colours {colour}", "{steps} 步 · 种子 {seed} · 色彩 {colour}"),
}

_PLAY = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path class="ft-on" d="M8 5.5v13l11-6.5z"/>'
    '<path class="ft-off" d="M7 5h4v14H7zM13 5h4v14h-4z"/></svg>'
)
_PLACES = 2


@dataclass(frozen=True)
class Variant:
    """One column. model: one of the client's variants, "" for the engine itself."""

    letter: str
    model: str
    steps: int
    seed: int
    colour: float


@dataclass(frozen=True)
class Result:
    """One film and its figures."""

    variant: Variant
    address: str
    made_fps: float
    first_frame_s: float
    measures: FilmMeasures

    def figures(self) -> dict[str, Any]:
        """For programs."""
        return {
            **asdict(self.variant),
            "film": self.address,
            "frames_per_second": round(self.made_fps, 2),
            "first_frame_s": round(self.first_frame_s, 3),
            **asdict(self.measures),
        }


@dataclass(frozen=True)
class _Row:
    """One figure. `more` is better, or less, or what is nearest to `best`; differences below `slight` say nothing.

    judged: what is compared where that is not always the value; None where it says nothing.
    """

    key: str
    value: Callable[[Result], float | None]
    words: str
    better: Literal["more", "less", "near"]
    slight: float
    best: float = 0.0
    judged: Callable[[Result], float | None] | None = None

    def marked(self, results: Sequence[Result]) -> list[bool]:
        """Which results are the better ones: none if all are about equal."""
        badness = [self._badness((self.judged or self.value)(result)) for result in results]
        known = [bad for bad in badness if bad is not None]
        if len(known) < 2 or max(known) - min(known) < self.slight:
            return [False] * len(results)
        return [bad is not None and bad - min(known) < self.slight / 2 for bad in badness]

    def _badness(self, value: float | None) -> float | None:
        if value is None:
            return None
        return {"more": -value, "less": value, "near": abs(value - self.best)}[self.better]


def _sure_sync(result: Result) -> float | None:
    measures = result.measures
    return None if measures.lag_ms is None else measures.sync


_ROWS = (
    _Row("compare.fps", lambda one: one.made_fps, "{:.1f}", "more", 1.0),
    _Row("compare.first", lambda one: one.first_frame_s, "{:.2f} s", "less", 0.1),
    _Row("compare.sync", lambda one: one.measures.sync, "{:.2f}", "more", 0.05, judged=_sure_sync),
    _Row("compare.lag", lambda one: one.measures.lag_ms, "{:.0f} ms", "near", 40.0),
    _Row("compare.sharpness", lambda one: 100 * one.measures.sharpness, "{:.0f} %", "near", 2.0, best=100.0),
    _Row("compare.drift", lambda one: 100 * one.measures.drift_sharpness, "{:.0f} %", "near", 2.0, best=100.0),
    _Row("compare.colour_drift", lambda one: one.measures.drift_colour, "{:.1f}", "less", 0.5),
)


def players(texts: Texts, results: Sequence[Result], *, start: bool) -> str:
    """Players, difference and table; places for films that are not there yet."""
    cells = [_player(texts, result, muted=index > 0) for index, result in enumerate(results)]
    cells += [_place(letter) for letter in "AB"[len(cells) : _PLACES]]
    bar = (
        '<div class="ft-transport"><button type="button" data-play aria-pressed="false" '
        f'aria-label="Play or pause 播放或暂停">{_PLAY}</button><input type="range" data-seek min="0" max="1" '
        'step="0.001" value="0" aria-label="Position 位置"></div>'
    )
    ready = " data-start" if start else ""
    return (
        f'<div class="ft-players"{ready}>{"".join(cells)}{_difference(texts, results)}</div>{bar if results else ""}'
        f"{_table(texts, results) if results else ''}"
    )


def _player(texts: Texts, result: Result, *, muted: bool) -> str:
    """One film; the voice is the same in all, so one of them is heard."""
    variant = result.variant
    words = texts.html("compare.settings", steps=variant.steps, seed=variant.seed, colour=variant.colour)
    model = f"{escape(variant.model)} · " if variant.model else ""
    sound = " muted" if muted else ""
    return (
        f'<figure class="ft-cell"><video src="{escape(result.address)}" playsinline preload="auto"{sound}></video>'
        f"<figcaption><b>{variant.letter}</b> {model}{words}</figcaption></figure>"
    )


def _place(letter: str) -> str:
    return f'<figure class="ft-cell ft-none"><div></div><figcaption><b>{letter}</b></figcaption></figure>'


def _difference(texts: Texts, results: Sequence[Result]) -> str:
    """The canvas; with three films or more, buttons that say which one is held against the first."""
    letters = [result.variant.letter for result in results[1:]]
    choice = "".join(
        f'<button type="button" data-against="{index}" aria-pressed="{str(index == 1).lower()}">{letter}</button>'
        for index, letter in enumerate(letters, start=1)
    )
    first = results[0].variant.letter if results else "A"
    caption = texts.html("compare.difference", letter=first) + (
        f'<span class="ft-against">{choice}</span>' if choice else ""
    )
    return f'<figure class="ft-cell"><canvas></canvas><figcaption>{caption}</figcaption></figure>'


def _table(texts: Texts, results: Sequence[Result]) -> str:
    head = "".join(f'<th scope="col">{result.variant.letter}</th>' for result in results)
    body = "".join(_line(texts, row, results) for row in _ROWS)
    return f'<div class="ft-table"><table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _line(texts: Texts, row: _Row, results: Sequence[Result]) -> str:
    cells = []
    for result, better in zip(results, row.marked(results), strict=True):
        value = row.value(result)
        words = texts.html("compare.unseen") if value is None else row.words.format(value)
        mark = f'<i class="ft-better"><span>{texts.html("compare.better")}</span></i>' if better else ""
        cells.append(f"<td>{mark}{words}</td>")
    name = f"{texts.html(row.key)}<small>{texts.html(f'{row.key}_more')}</small>"
    return f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>'
