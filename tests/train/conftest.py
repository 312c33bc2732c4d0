"""What tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.train.two_ranks import Pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two ranks; see tests/train/two_ranks.py."""
    pair = Pair(tmp_path_factory.mktemp("pair"))
    yield pair
    pair.close()
