"""`flashtalk convert`: published files -> a checkpoint, and a table of what the folder then holds. Called by cli.py."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from flashtalk.commands.console import Screen
from flashtalk.config_file import load_model_config
from flashtalk.convert import ConvertReport, convert_folder


def convert(
    folder: Path, screen: Screen, *, model: str = "flashtalk-14b", source: str = "", revision: str | None = None
) -> ConvertReport:
    """Convert `folder`, which holds the files of `model` (a name in configs/models, or a file), and show the result.

    Raises ConfigError and CheckpointError.
    """
    report = convert_folder(folder, load_model_config(model), source=source, revision=revision, say=screen.note)
    screen.result(convert_table(report))
    return report


def convert_table(report: ConvertReport) -> Table:
    """One line a file."""
    headings = ("network", "file", "tensors", "bytes", "SHA-256", "made of")
    table = Table(*headings, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    for file in report.files:
        numbers = (str(file.tensors), f"{file.bytes:,}")
        table.add_row(file.component, file.name, *numbers, file.sha256, file.made_of or "was there")
    table.add_row("all", "", str(sum(file.tensors for file in report.files)), f"{report.bytes:,}", "", "")
    return table
