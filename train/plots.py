"""Plots as SVG text, without a plotting library. Called by the experiments and by train/evaluate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from flashtalk.errors import InputError

Points = Sequence[tuple[float, float]]

WIDTH_PX, HEIGHT_PX = 760, 420
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 70, 190, 40, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
"""Told apart by people who are colour-blind (Okabe and Ito); used in turn."""


def line_plot(
    series: Mapping[str, Points],
    title: str,
    x_label: str,
    y_label: str,
    *,
    log_y: bool = False,
    y_from: float | None = None,
) -> str:
    """SVG text of one line a name through its (x, y) points, in the order given; a value that is not finite is a gap.

    `log_y` needs positive y. `y_from` fixes the lower end of the y axis. Raises InputError if nothing can be drawn.
    """
    axes = _axes(series, log_y, y_from)
    drawn = [
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{_path(axes, stretch)}"/>'
        for colour, points in zip(_colours(len(series)), series.values(), strict=True)
        for stretch in _stretches(points, axes)
    ]
    return _document(axes, list(series), title, x_label, y_label, drawn)


def point_plot(series: Mapping[str, Points], title: str, x_label: str, y_label: str, *, radius_px: float = 1.5) -> str:
    """SVG text of a cloud of points a name; the same scale on both axes, so that a circle is round."""
    axes = _with_square_cells(_axes(series, log_y=False, y_from=None))
    drawn = [
        f'<g fill="{colour}" fill-opacity="0.5">{_circles(axes, points, radius_px)}</g>'
        for colour, points in zip(_colours(len(series)), series.values(), strict=True)
    ]
    return _document(axes, list(series), title, x_label, y_label, drawn)


@dataclass(frozen=True)
class _Axes:
    """Ranges of the data and where they lie in the picture."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log_y: bool

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT_PX + (value - low) / (high - low) * (WIDTH_PX - LEFT_PX - RIGHT_PX)

    def y(self, value: float) -> float:
        low, high = (self.scaled(end) for end in self.y_range)
        part = (self.scaled(value) - low) / (high - low)
        return HEIGHT_PX - BOTTOM_PX - part * (HEIGHT_PX - TOP_PX - BOTTOM_PX)

    def scaled(self, value: float) -> float:
        return math.log10(value) if self.log_y else value

    def shows(self, x: float, y: float) -> bool:
        return math.isfinite(x) and math.isfinite(y) and (y > 0 or not self.log_y)


def _axes(series: Mapping[str, Points], log_y: bool, y_from: float | None) -> _Axes:
    probe = _Axes((0, 1), (0, 1), log_y)
    shown = [(x, y) for points in series.values() for x, y in points if probe.shows(x, y)]
    if not shown:
        raise InputError("there is no finite point to plot; give each series (x, y) pairs", code="plot")
    xs, ys = [x for x, _ in shown], [y for _, y in shown]
    low = min(ys) if y_from is None else y_from
    if log_y:
        return _Axes(_widened(min(xs), max(xs), 0.0), (low / 1.1, max(ys) * 1.1), log_y)
    bottom, top = _widened(low, max(ys), 0.05)
    return _Axes(_widened(min(xs), max(xs), 0.0), (bottom if y_from is None else y_from, top), log_y)


def _widened(low: float, high: float, part: float) -> tuple[float, float]:
    """A range that is never empty, with `part` of itself added at both ends."""
    if high <= low:
        return low - 0.5, low + 0.5
    return low - part * (high - low), high + part * (high - low)


def _with_square_cells(axes: _Axes) -> _Axes:
    width, height = WIDTH_PX - LEFT_PX - RIGHT_PX, HEIGHT_PX - TOP_PX - BOTTOM_PX
    middle_x, middle_y = sum(axes.x_range) / 2, sum(axes.y_range) / 2
    unit = 1.05 * max((axes.x_range[1] - axes.x_range[0]) / width, (axes.y_range[1] - axes.y_range[0]) / height)
    x_half, y_half = unit * width / 2, unit * height / 2
    return _Axes((middle_x - x_half, middle_x + x_half), (middle_y - y_half, middle_y + y_half), log_y=False)


def _stretches(points: Points, axes: _Axes) -> Iterator[list[tuple[float, float]]]:
    """Runs of neighbours that can be shown."""
    run: list[tuple[float, float]] = []
    for x, y in points:
        if axes.shows(x, y):
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _circles(axes: _Axes, points: Points, radius_px: float) -> str:
    centres = ((axes.x(x), axes.y(y)) for x, y in points if axes.shows(x, y))
    return "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius_px}"/>' for x, y in centres)


def _path(axes: _Axes, points: Points) -> str:
    return " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)


def _colours(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) inside low..high, `most` at most."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) < most)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 7)):
        ticks = [factor * 10.0**decade for decade in decades for factor in factors]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            break
    return inside


def _document(axes: _Axes, names: list[str], title: str, x_label: str, y_label: str, drawn: list[str]) -> str:
    right, bottom = WIDTH_PX - RIGHT_PX, HEIGHT_PX - BOTTOM_PX
    frame = f'<rect x="{LEFT_PX}" y="{TOP_PX}" width="{right - LEFT_PX}" height="{bottom - TOP_PX}"'
    middle_x, middle_y = (LEFT_PX + right) / 2, (TOP_PX + bottom) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" width="{WIDTH_PX}" '
        f'height="{HEIGHT_PX}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH_PX}" height="{HEIGHT_PX}" fill="white"/>',
        f'<clipPath id="inside">{frame}/></clipPath>',
        _text(middle_x, 24, title, "middle", 'font-size="15"'),
        _text(middle_x, HEIGHT_PX - 12, x_label, "middle"),
        _text(18, middle_y, y_label, "middle", f'transform="rotate(-90 18 {middle_y})"'),
        *_grid(axes, right, bottom),
        '<g clip-path="url(#inside)">',
        *drawn,
        "</g>",
        f'{frame} fill="none" stroke="#444"/>',
        *_legend(names, right + 12),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(axes: _Axes, right: int, bottom: int) -> Iterator[str]:
    line = '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="#ddd"/>'
    for tick in nice_ticks(*axes.x_range):
        yield line.format(f"{axes.x(tick):.1f}", TOP_PX, f"{axes.x(tick):.1f}", bottom)
        yield _text(axes.x(tick), bottom + 16, f"{tick:g}", "middle")
    make: Callable[[float, float], list[float]] = _log_ticks if axes.log_y else nice_ticks
    for tick in make(*axes.y_range):
        yield line.format(LEFT_PX, f"{axes.y(tick):.1f}", right, f"{axes.y(tick):.1f}")
        yield _text(LEFT_PX - 6, axes.y(tick) + 4, f"{tick:g}", "end")


def _legend(names: list[str], left: int) -> Iterator[str]:
    for row, (name, colour) in enumerate(zip(names, _colours(len(names)), strict=True)):
        y = TOP_PX + 12 + 18 * row
        yield f'<rect x="{left}" y="{y - 7}" width="14" height="5" fill="{colour}"/>'
        yield _text(left + 20, y, name, "start")


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'
