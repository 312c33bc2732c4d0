"""Contact sheets and plots of an evaluation: variants one under the other, the drawing above them. Called by report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from train.evaluate import sheets
from train.evaluate.long_run import LONG, OVER_TIME
from train.evaluate.results import Results
from train.evaluate.scenes import CODEC, DRAWN, STRIP, VISEMES
from train.evaluate.scores import FPS, REACH, WINDOW_S
from train.evaluate.sheets import Strip
from train.evaluate.studio import SPEECH
from train.plots import Points, line_plot

MOUTH_S = 10


def contact_sheets(everyone: Sequence[Results]) -> Iterator[tuple[str, Image.Image]]:
    """(name, page) of each sheet there is something for."""
    for what in (VISEMES, STRIP):
        pages = [sheets.sheet(rows) for rows in _by_character(everyone, what)]
        if pages:
            yield what, sheets.stacked(pages)
    over_time = [part.strips[OVER_TIME] for results in everyone for part in results.of(LONG)]
    if over_time:
        yield "over-time", sheets.sheet(over_time)
    for results in everyone:
        rows = [row for part in results.of(LONG) for name, row in part.strips.items() if name != OVER_TIME]
        if rows:
            yield f"long {results.variant.name}", sheets.sheet(rows)


def _by_character(everyone: Sequence[Results], what: str) -> Iterator[list[Strip]]:
    """For each character: the drawing, what each variant shows, the drawing through the first variant's codec."""
    for first in everyone[0].of(SPEECH):
        if what not in first.strips:
            continue
        rows = [first.strips[DRAWN + what]]
        for kind, some in ((SPEECH, everyone), (CODEC, everyone[:1])):
            parts = (part for results in some for part in results.of(kind))
            rows += [part.strips[what] for part in parts if part.job.subject == first.job.subject]
        yield rows


def plots(everyone: Sequence[Results]) -> Iterator[tuple[str, str]]:
    """(name, SVG) of each plot there is something for."""
    yield from _lags(everyone)
    yield from _mouths(everyone)
    films = [part for results in everyone for part in results.of(LONG)]
    for measure in films[0].curves if films else ():
        label = measure.replace("_", " ")
        lines = {
            name: timed(np.mean(curves, axis=0), WINDOW_S)
            for results in everyone
            for name, curves in _long_lines(results, measure, alone=len(everyone) == 1)
        }
        yield f"long {label}", line_plot(lines, f"Long run: {label}", "seconds", label)


def _long_lines(results: Results, measure: str, *, alone: bool) -> Iterator[tuple[str, list[np.ndarray]]]:
    """A line a character if there is one variant, else one for each variant's mean."""
    films = results.of(LONG)
    if alone:
        yield from ((part.row["subject"], [part.curves[measure]]) for part in films)
    elif films:
        yield results.variant.name, [part.curves[measure] for part in films]


def _lags(everyone: Sequence[Results]) -> Iterator[tuple[str, str]]:
    lags, lines = range(-REACH, REACH + 1), dict[str, Points]()
    for results in everyone:
        if spoken := results.rows(SPEECH):
            mean_L = np.mean([row["lag_curve"] for row in spoken], axis=0)
            lines[results.variant.name] = list(zip(lags, mean_L.tolist(), strict=True))
    if lines:
        yield "lags", line_plot(lines, "Mouth against truth", "lag in frames (positive: late)", "correlation")


def _mouths(everyone: Sequence[Results]) -> Iterator[tuple[str, str]]:
    """The first seconds of each character that is shown on the sheets."""
    for first in everyone[0].of(SPEECH):
        if not first.strips:
            continue
        curves = {"drawn": first.curves["opening"], "drawn, judged": first.curves["drawn"]}
        for results in everyone:
            for part in results.of(SPEECH):
                if part.job.subject == first.job.subject:
                    curves[results.variant.name] = part.curves["read"]
        series = {label: timed(curve_F[: MOUTH_S * FPS], 1 / FPS) for label, curve_F in curves.items()}
        subject = first.row["subject"]
        yield f"mouth {subject}", line_plot(series, f"Mouth opening, {subject}", "seconds", "opening")


def timed(curve_K: np.ndarray, step_s: float) -> list[tuple[float, float]]:
    """(second, value) of a curve, for a plot."""
    return [(k * step_s, float(value)) for k, value in enumerate(curve_K)]
