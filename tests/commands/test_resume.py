"""`flashtalk generate --resume`: a film continued after a kill at any moment is the film never interrupted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashtalk.config import Config
from flashtalk.errors import EngineError
from flashtalk.media.mp4 import Mp4Writer
from flashtalk.pipeline.session import Session
from tests.commands.kit import Kit, flashtalk, make_kit, voice

SECONDS = 3.1
CHUNKS = 10
SAMPLED_MOMENTS = 12


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, tiny_config: Config) -> Kit:
    return make_kit(tmp_path_factory.mktemp("inputs"), tiny_config, voice(SECONDS))


@pytest.fixture(scope="module")
def whole(kit: Kit) -> bytes:
    """The film never interrupted."""
    assert flashtalk(*kit.arguments("--quiet")) == 0
    return kit.film.read_bytes()


class Moments:
    """Copies a folder just before every change of its files: what a kill at that moment leaves."""

    def __init__(self, folder: Path, copies: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.copies, self.count = folder, copies, 0
        targets: list[tuple[Any, str]] = [(os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "rmdir")]
        for owner, name in targets:
            patch.setattr(owner, name, self._watched(getattr(owner, name)))

    def _watched(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            shutil.copytree(self.folder, self.copies / f"{self.count:03d}")
            self.count += 1
            return change(*arguments, **options)

        return watched


def test_a_kill_at_any_moment_changes_nothing(kit: Kit, whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "film").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        moments = Moments(tmp_path / "film", tmp_path, patch)
        assert flashtalk(*kit.in_folder(tmp_path / "film").arguments("--quiet")) == 0
    assert moments.count > 3 * CHUNKS
    steps = range(0, moments.count, max(1, moments.count // SAMPLED_MOMENTS))
    for moment in {*steps, *range(moments.count - 5, moments.count)}:
        resumed = kit.in_folder(tmp_path / f"{moment:03d}")
        assert flashtalk(*resumed.arguments("--resume", "--quiet")) == 0
        assert resumed.film.read_bytes() == whole, moment
        assert resumed.left() == [], moment
