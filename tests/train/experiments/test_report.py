from __future__ import annotations

import json
from pathlib import Path

import pytest

from flashtalk.errors import InputError
from train.experiments.report import Report, table_text
from train.plots import line_plot


def test_table_is_aligned() -> None:
    lines = table_text([{"run": "a", "error": 0.12345}, {"run": "longer", "error": 1234.5}]).splitlines()
    assert lines == ["run        error", "a          0.123", "longer  1.23e+03"]


def test_report_writes_what_it_shows(tmp_path: Path) -> None:
    report = Report("toy", quick=True, tables={"t": [{"run": "a", "error": 0.123456}]})
    report.plots["toy.svg"] = line_plot({"a": [(0, 1), (1, 2)]}, "t", "x", "y")
    report.write(tmp_path)
    written = json.loads((tmp_path / "toy.json").read_text())
    assert written["tables"] == {"t": [{"run": "a", "error": 0.1235}]}
    assert (tmp_path / "toy.svg").read_text().startswith("<svg")
    assert "0.123" in report.text()


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make it first"):
        Report("toy", quick=True).write(tmp_path / "none")
