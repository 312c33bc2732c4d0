"""One pool of processes for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parallel.pool import Pool

MOST = 4


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    pool = Pool(MOST, tmp_path_factory.mktemp("ranks"))
    yield pool
    pool.close()
