"""The outcome of an experiment as a table, JSON and plots, and the experiments' command line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashtalk.errors import InputError

Row = Mapping[str, str | float]
Quick = Annotated[bool, typer.Option(help="Smaller and shorter.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the tables as JSON and the plots.")]


@dataclass
class Report:
    """Rows of one or several tables by name, and plots (SVG text) by file name."""

    experiment: str
    quick: bool
    tables: dict[str, list[Row]] = field(default_factory=dict)
    plots: dict[str, str] = field(default_factory=dict)
    started_s: float = field(default_factory=time.process_time)

    def text(self) -> str:
        """All tables, for a terminal."""
        parts = [f"{name}\n{table_text(rows)}" for name, rows in self.tables.items()]
        return "\n\n".join([*parts, f"{time.process_time() - self.started_s:.0f} s of one core"])

    def write(self, folder: Path) -> None:
        """NAME.json and the plots. Raises InputError if there is no such folder."""
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder.name}; make it first", code="output_forbidden")
        result = {
            "experiment": self.experiment,
            "quick": self.quick,
            "torch": torch.__version__,
            "cpu_s": round(time.process_time() - self.started_s, 1),
            "tables": {name: [_rounded(row) for row in rows] for name, rows in self.tables.items()},
        }
        (folder / f"{self.experiment}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        for name, svg in self.plots.items():
            (folder / name).write_text(svg, encoding="utf-8")


def command(experiment: Callable[[bool], Report]) -> Callable[[bool, Path | None], None]:
    """The command line of an experiment, which takes `quick`."""

    def main(quick: Quick = False, out: Out = None) -> None:
        """Print the tables; with --out write them and the plots too."""
        torch.set_num_threads(1)
        report = experiment(quick)
        typer.echo(report.text())
        if out is not None:
            report.write(out)

    return main


def table_text(rows: Sequence[Row]) -> str:
    """Columns of the first row, aligned."""
    names = list(rows[0])
    lines = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if abs(value) >= 100 else f"{value:.3f}"


def _rounded(row: Row) -> dict[str, str | float]:
    return {name: value if isinstance(value, str) else float(f"{value:.4g}") for name, value in row.items()}
