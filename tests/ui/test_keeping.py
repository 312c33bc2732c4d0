"""What the page says of what it keeps is what happens: every file of a visitor's goes at the age that is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from flashtalk.config_app import DoorConfig, JobsConfig
from flashtalk.ui import build, frame, material
from flashtalk.ui.cleaning import Cleaner
from flashtalk.ui.material import _Shelf
from flashtalk.ui.texts import Texts
from tests.ui.page_kit import Page, Visitor, busy_page

DURABLE = {"secret", "lock", "jobs"}
"""Of the app's folder: what it needs itself, and long films, which their room removes (tests/serving/test_jobs.py)."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with busy_page(tmp_path_factory.mktemp("kept")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("uploads_s", "films_s", "told"),
    [(900, 86400, ("15 minutes", "24 hours", "15 分钟", "24 小时")), (7200, 3 * 86400, ("2 hours", "3 days", "3 天"))],
)
def test_the_page_tells_the_ages_that_are_configured(uploads_s: float, films_s: float, told: tuple[str, ...]) -> None:
    ages = DoorConfig(upload_age_s=uploads_s, output_age_s=films_s)
    context = SimpleNamespace(texts=Texts(frame.TEXTS), door=SimpleNamespace(config=ages))
    for key in ("frame.small", "frame.consent_keep"):
        words = context.texts.html(key, **frame._ages(context))  # type: ignore[arg-type]
        assert [age for age in told if age not in words] == []
        assert f"{JobsConfig.keep_s / 86400:g} days" in words


def test_nothing_of_a_visitors_outlives_what_is_told(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through every function that makes a film; then time goes by."""
    ages, now_s = DoorConfig(), time.time()
    cache = Path(page.folder, "app/cache")
    monkeypatch.setattr(build.gr.utils, "get_upload_folder", lambda: str(cache))
    with page.visitor() as visitor:
        film = use_all(page, visitor)
    context = SimpleNamespace(door=SimpleNamespace(config=ages), folder=page.folder / "app")

    def left(age_s: float) -> set[str]:
        Cleaner(build._rules(context), lambda: now_s + age_s).sweep()  # type: ignore[arg-type]
        files = (path.relative_to(page.folder / "app") for path in (page.folder / "app").rglob("*") if path.is_file())
        return {path.parts[0] for path in files} - DURABLE

    assert '"alike": "same"' in film
    assert left(0) == {"cache", "films"}
    assert left(ages.upload_age_s + 60) == {"films"}
    assert left(ages.output_age_s + 60) == set()


def use_all(page: Page, visitor: Visitor) -> str:
    """Films of the page and of programs, a comparison, a long one; what the last call said."""
    for name in ("ft-make", "ft-compare-go", "make_film", "make_long_film"):
        function = page.function(name)
        visitor.call(function, visitor.inputs(function))
    projects = list((page.folder / "app/films").rglob("film.flashtalk.json"))
    assert projects
    return visitor.call(page.function("repeat_film"), [visitor.bring(projects[0]), ""])


def test_what_was_opened_is_forgotten_with_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = 0.0
    monkeypatch.setattr(material.time, "monotonic", lambda: clock_s)
    shelf: _Shelf[int] = _Shelf(2, age_s=900)
    for value, key in enumerate("abc"):
        shelf.put(key, value)
    assert [shelf.get(key) for key in "abc"] == [None, 1, 2]
    clock_s = 901.0
    assert [shelf.get(key) for key in "abc"] == [None] * 3
    assert not shelf._kept
