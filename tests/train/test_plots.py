from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtalk.errors import InputError
from train.plots import line_plot, nice_ticks, point_plot

SVG = "{http://www.w3.org/2000/svg}"


def lines(svg: str) -> list[list[tuple[float, float]]]:
    root = ElementTree.fromstring(svg)
    found = [element.attrib["points"].split() for element in root.iter(f"{SVG}polyline")]
    return [[tuple(map(float, point.split(","))) for point in points] for points in found]  # type: ignore[misc]


def words(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_larger_values_are_higher_and_further_right() -> None:
    (line,) = lines(line_plot({"a": [(0, 1), (1, 3), (2, 2)]}, "t", "x", "y"))
    assert line[0][0] < line[1][0] < line[2][0]
    assert line[1][1] < line[2][1] < line[0][1]


def test_log_axis_gives_equal_ratios_equal_room() -> None:
    (line,) = lines(line_plot({"a": [(0, 1), (1, 10), (2, 100)]}, "t", "x", "y", log_y=True))
    assert line[0][1] - line[1][1] == pytest.approx(line[1][1] - line[2][1], abs=0.2)


def test_names_and_labels_are_written_and_escaped() -> None:
    written = words(line_plot({"K < 5 & more": [(0, 1)], "b": [(0, 2)]}, "a > b", "chunk", "error"))
    assert {"K < 5 & more", "b", "a > b", "chunk", "error"} <= set(written)


def test_values_that_are_not_numbers_are_gaps() -> None:
    drawn = lines(line_plot({"a": [(0, 1), (1, math.nan), (2, 2), (3, math.inf), (4, 1)]}, "t", "x", "y"))
    assert [len(line) for line in drawn] == [1, 1, 1]
    assert len(lines(line_plot({"a": [(0, 0), (1, 1), (2, 2)]}, "t", "x", "y", log_y=True))[0]) == 2


def test_nothing_to_draw_is_refused() -> None:
    for empty in ({}, {"a": []}, {"a": [(0.0, math.nan)]}):
        with pytest.raises(InputError, match="no finite point"):
            line_plot(empty, "t", "x", "y")


def test_circle_is_round() -> None:
    circle = [(math.cos(i / 10), math.sin(i / 10)) for i in range(63)]
    root = ElementTree.fromstring(point_plot({"a": circle}, "t", "x", "y"))
    marks = list(root.iter(f"{SVG}circle"))
    spans = [
        max(float(m.attrib[key]) for m in marks) - min(float(m.attrib[key]) for m in marks) for key in ("cx", "cy")
    ]
    assert spans[0] == pytest.approx(spans[1], rel=0.02)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_even_and_inside(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width)
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) + 1e-6 for tick in ticks)


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=20))
def test_any_finite_points_stay_inside_the_frame(points: list[tuple[float, float]]) -> None:
    for line in lines(line_plot({"a": points}, "t", "x", "y")):
        assert all(69 <= x <= 571 and 39 <= y <= 371 for x, y in line)
