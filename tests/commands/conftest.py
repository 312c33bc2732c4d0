"""Undoes what running the program sets for its whole process."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_process() -> Iterator[None]:
    threads, logger = torch.get_num_threads(), logging.getLogger("flashtalk")
    level = logger.level
    yield
    torch.set_num_threads(threads)
    logger.setLevel(level)
