"""What tests of long videos begin with: an engine as a client, files to upload, and the film that they become."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.job_kit import SECONDS, PlainClient, made, tiny, write_inputs


@pytest.fixture(scope="session")
def undisturbed() -> Iterator[PlainClient]:
    client = PlainClient(tiny())
    yield client
    client.close()


@pytest.fixture
def client(undisturbed: PlainClient) -> Iterator[PlainClient]:
    yield undisturbed
    undisturbed.before, undisturbed.state = lambda: None, "ready"


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_inputs(tmp_path_factory.mktemp("inputs"), SECONDS)


@pytest.fixture(scope="session")
def whole(undisturbed: PlainClient, inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made(tmp_path_factory.mktemp("whole"), undisturbed, inputs)
