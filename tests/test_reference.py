"""The product gives the released code's numbers, and the check notices when it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.reference import Row, check, main

VECTORS = Path(__file__).parent / "vectors"


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(check(VECTORS, "open"))


def test_every_array_is_within_its_bound(rows: list[Row]) -> None:
    assert len(rows) == 16
    assert not [row for row in rows if not row.ok]


def test_a_wrong_array_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(np.load(VECTORS / "open.npz"))
    arrays["vae.encode5"] = arrays["vae.encode5"] * 1.001
    np.savez(tmp_path / "open.npz", **arrays)
    (tmp_path / "open.json").write_text((VECTORS / "open.json").read_text())
    assert main([str(tmp_path), "open"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told if "NOT OK" in line] == ["vae.encode5"]


def test_wrong_usage_is_told() -> None:
    assert main([]) == 2
