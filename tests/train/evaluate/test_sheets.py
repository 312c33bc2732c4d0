"""Contact sheets: what stands where."""

from __future__ import annotations

import numpy as np

from train.evaluate.sheets import CELL_PX, LABEL_PX, compared, sheet, stacked, strip_moments, viseme_moments
from train.synthetic.pose import VISEMES, poses


def film(level: int, count: int = 10) -> np.ndarray:
    """Frame i is `level` + i everywhere."""
    return np.broadcast_to(np.arange(level, level + count, dtype=np.uint8)[:, None, None, None], (count, 32, 32, 3))


def test_truth_stands_above_what_was_generated_at_the_same_frames() -> None:
    page = np.asarray(compared(film(50), film(150), {"a": 2, "b": 7, "late": 90}, "x"))
    assert page.shape == (LABEL_PX + 2 * CELL_PX, 2 * CELL_PX, 3)
    middle, next_one = CELL_PX // 2, CELL_PX + CELL_PX // 2
    assert page[LABEL_PX + middle, [middle, next_one], 0].tolist() == [52, 57]
    assert page[LABEL_PX + CELL_PX + middle, [middle, next_one], 0].tolist() == [152, 157]


def test_pages_are_stacked_whole() -> None:
    wide, tall = sheet([film(0, 3)], ["x"], []), sheet([film(0, 1), film(9, 1)], ["x", "y"], [])
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
