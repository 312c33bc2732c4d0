"""tests/beside.py: no test of the second process is lost, and none of its failures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source import ROOT

CONFTEST = """
from tests import beside
pytest_addoption, pytest_configure = beside.add_options, beside.set_up
"""


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("def test_b(): pass", 0, "2 passed"),
        ("def test_b(): assert 0", 1, "1 failed, 1 passed"),
        ("this is no Python", 2, "SyntaxError"),
    ],
    ids=["passes", "fails", "cannot be read"],
)
def test_what_happens_beside_counts(tmp_path: Path, code: str, status: int, words: str) -> None:
    for name, text in {"conftest.py": CONFTEST, "a/test_a.py": "def test_a(): pass", "b/test_b.py": code}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "--beside", "b"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == status, ran.stdout
    assert words in ran.stdout + ran.stderr
