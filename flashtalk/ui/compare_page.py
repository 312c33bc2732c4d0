"""HTML of the compare tab: players in step, the difference, the table. Called by ui/tabs/compare.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from flashtalk.ui.measures import FilmMeasures
from flashtalk.ui.texts import Pair, Texts

TEXTS: dict[str, Pair] = {
    "compare.idle": ("Two variants are set. Press the button.", "已设置两个版本，请点击按钮。"),
    "compare.making": ("Making {letter}", "正在生成 {letter}"),
    "compare.done": ("Done. They play in step; the sound is A's.", "完成。同步播放，声音来自 A。"),
    "compare.difference": ("A − B", "A − B"),
    "compare.fps": ("Frames a second", "帧/秒"),
    "compare.first": ("First frame", "首帧"),
    "compare.sync": ("Lips with sound", "唇音一致"),
    "compare.sharpness": ("Sharpness", "清晰度"),
    "compare.drift": ("Sharpness kept", "清晰度保持"),
    "compare.colour_drift": ("Colour moved", "色彩偏移"),
    "compare.settings": ("{steps} steps · seed {seed} · colours {colour}", "{steps} 步 · 种子 {seed} · 色彩 {colour}"),
}

_PLAY = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path class="ft-on" d="M8 5.5v13l11-6.5z"/>'
    '<path class="ft-off" d="M7 5h4v14H7zM13 5h4v14h-4z"/></svg>'
)
_PLACES = 2
_SEEN = 0.3
"""Below it, what correlates best is chance, and its lag says nothing."""


@dataclass(frozen=True)
class Variant:
    """One column."""

    letter: str
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


def players(texts: Texts, results: Sequence[Result], *, start: bool) -> str:
    """Players, difference and table; places for films that are not there yet."""
    cells = [_player(texts, result) for result in results]
    cells += [_place(letter) for letter in "AB"[len(cells) : _PLACES]]
    caption = texts.html("compare.difference")
    difference = f'<figure class="ft-cell"><canvas></canvas><figcaption>{caption}</figcaption></figure>'
    bar = (
        '<div class="ft-transport"><button type="button" data-play aria-pressed="false" '
        f'aria-label="Play or pause 播放或暂停">{_PLAY}</button><input type="range" data-seek min="0" max="1" '
        'step="0.001" value="0" aria-label="Position 位置"></div>'
    )
    ready = " data-start" if start else ""
    return (
        f'<div class="ft-players"{ready}>{"".join(cells)}{difference}</div>{bar if results else ""}'
        f"{_table(texts, results) if results else ''}"
    )


def _player(texts: Texts, result: Result) -> str:
    variant = result.variant
    words = texts.html("compare.settings", steps=variant.steps, seed=variant.seed, colour=variant.colour)
    muted = "" if variant.letter == "A" else " muted"
    return (
        f'<figure class="ft-cell"><video src="{escape(result.address)}" playsinline preload="auto"{muted}></video>'
        f"<figcaption><b>{variant.letter}</b> {words}</figcaption></figure>"
    )


def _place(letter: str) -> str:
    return f'<figure class="ft-cell ft-none"><div></div><figcaption><b>{letter}</b></figcaption></figure>'


def _table(texts: Texts, results: Sequence[Result]) -> str:
    rows = (
        ("compare.fps", [f"{r.made_fps:.1f}" for r in results]),
        ("compare.first", [f"{r.first_frame_s:.2f} s" for r in results]),
        ("compare.sync", [_sync(r.measures) for r in results]),
        ("compare.sharpness", [f"{r.measures.sharpness:.0f}" for r in results]),
        ("compare.drift", [f"{100 * r.measures.drift_sharpness:.0f} %" for r in results]),
        ("compare.colour_drift", [f"{r.measures.drift_colour:.1f}" for r in results]),
    )
    head = "".join(f'<th scope="col">{r.variant.letter}</th>' for r in results)
    body = "".join(
        f'<tr><th scope="row">{texts.html(key)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for key, cells in rows
    )
    return f'<div class="ft-table"><table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _sync(measures: FilmMeasures) -> str:
    if measures.sync is None or measures.lag_ms is None or measures.sync < _SEEN:
        return "–"
    return f"{measures.sync:.2f} ({measures.lag_ms:+.0f} ms)"
