"""Contact sheets: what stands where."""

from __future__ import annotations

import numpy as np

from train.evaluate.sheets import CELL_PX, LABEL_PX, sheet, stacked, strip, strip_moments, viseme_moments
from train.synthetic.pose import VISEMES, poses


def film(level: int, count: int = 10) -> dict[int, np.ndarray]:
    """Frame i is `level` + i everywhere."""
    return {i: np.full((32, 32, 3), level + i, np.uint8) for i in range(count)}


def test_rows_show_the_same_frames_one_above_the_other() -> None:
    moments = {"a": 2, "b": 7, "late": 90}
    page = np.asarray(sheet([strip("drawn", moments, film(50)), strip("x", moments, film(150))]))
    assert page.shape == (LABEL_PX + 2 * CELL_PX, 2 * CELL_PX, 3)
    middle, next_one = CELL_PX // 2, CELL_PX + CELL_PX // 2
    assert page[LABEL_PX + middle, [middle, next_one], 0].tolist() == [52, 57]
    assert page[LABEL_PX + CELL_PX + middle, [middle, next_one], 0].tolist() == [152, 157]


def test_pages_are_stacked_whole() -> None:
    wide = sheet([strip("x", {"": 0, "1": 1, "2": 2}, film(0))])
    tall = sheet([strip("x", {"": 0}, film(0)), strip("y", {"": 9}, film(0))])
    page = np.asarray(stacked([wide, tall]))
    assert page.shape == (2 * LABEL_PX + 3 * CELL_PX, 3 * CELL_PX, 3)
    assert page[LABEL_PX + CELL_PX // 2, [80, 240, 400], 0].tolist() == [0, 1, 2]
    assert page[2 * LABEL_PX + 2 * CELL_PX + CELL_PX // 2, [80, 240], 0].tolist() == [9, 255], "white where nothing is"


def test_visemes_are_found_where_they_are_said() -> None:
    said = ["rest", "AA", "MBP", "OO"]
    columns = sorted({column for name in said for column in VISEMES[name]})
    performed = poses(4, **{column: [VISEMES[name].get(column, 0.0) for name in said] for column in columns})
    found = viseme_moments(performed)
    assert {name: found[name] for name in said} == {"rest": 0, "AA": 1, "MBP": 2, "OO": 3}
    assert "FV" not in found, "nobody said it"


def test_strips_are_evenly_spaced() -> None:
    moments = strip_moments(50, count=3, every=2)
    assert moments == {"2.00 s": 50, "2.08 s": 52, "2.16 s": 54}
