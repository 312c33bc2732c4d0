"""`pytest --beside FOLDER`: its tests run in a second process at the same time and are told as if all had run in one.

For `make test` on two cores: most tests keep one of them busy. Loaded by tests/conftest.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

TESTS_RAN = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


def add_options(parser: pytest.Parser) -> None:
    parser.addoption("--beside", metavar="FOLDER", type=Path, help="run these tests in a second process meanwhile")
    parser.addoption("--report-to", metavar="FILE", type=Path, help="what the second process is started with")


def set_up(config: pytest.Config) -> None:
    if config.option.beside:
        config.pluginmanager.register(Beside(config, config.option.beside.resolve()))
    if config.option.report_to:
        config.pluginmanager.register(Reporter(config))


class Reporter:
    """Of the second process: a line of JSON for each report."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        line = json.dumps(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))
        with self.config.option.report_to.open("a") as file:
            file.write(f"{line}\n")


class Beside:
    """Of the first: leaves the folder out, and tells its reports after its own."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self.config, self.folder = config, folder

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path == self.folder else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Iterator[None]:
        with TemporaryDirectory() as scratch:
            reports, said = Path(scratch, "reports"), Path(scratch, "said")
            reports.touch()
            chosen = ["-m", self.config.option.markexpr, "-k", self.config.option.keyword]
            to = ["--report-to", str(reports), "-p", "no:cacheprovider"]
            command = [sys.executable, "-m", "pytest", *chosen, *to, str(self.folder)]
            with said.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as second:
                try:
                    yield
                    second.wait()
                finally:
                    second.terminate()
            self._tell(session, reports.read_text().splitlines())
            if second.returncode not in TESTS_RAN:
                pytest.exit(f"the tests beside did not run:\n{said.read_text()[-4000:]}", second.returncode)
        return True  # type: ignore[return-value]

    def _tell(self, session: pytest.Session, lines: list[str]) -> None:
        hook, trees = self.config.hook, [json.loads(line) for line in lines]
        session.testscollected += len({tree["nodeid"] for tree in trees})
        for tree in trees:
            hook.pytest_runtest_logreport(report=hook.pytest_report_from_serializable(config=self.config, data=tree))
