"""One app for all tests of the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ui.kit import Served, serve


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("served")) as app:
        yield app
