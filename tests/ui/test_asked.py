"""One call cannot take the engine from everybody: whatever a page or a program sends, it asks for what is offered."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.blocks import BlockFunction

from flashtalk.config_file import load_config
from flashtalk.errors import ConfigError, InputError
from flashtalk.serving.asked import LARGEST_SEED, MOST_PROMPT_LETTERS, size_words
from flashtalk.ui.settings import legal_sizes, wishes
from flashtalk.ui.tabs.compare import _variant
from tests.serving.fakes import FakeHouse
from tests.source import demand
from tests.ui.live_house import SIZE_PX
from tests.ui.page_kit import FACE, VOICE, Page, Visitor, busy_page

OWN = f"{SIZE_PX}×{SIZE_PX}"
LARGE = ("2048×2048", "2048x2048", "1024×1024", "100000×100000", "16×999999999")
NUMBERS = (-1, 10**12)
LONG = "smile " * 200_000


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with busy_page(tmp_path_factory.mktemp("asked")) as opened:
        yield opened


def project(folder: Path, **changes: Any) -> Path:
    """A project file as a stranger writes it; `changes` of its wishes and settings."""
    settings = {"steps": 2, "width": SIZE_PX, "height": SIZE_PX, "fit": "cover", "colour_strength": 1.0}
    wishes = {"prompt": "", "seed": 0, "label": True, "model": "", "settings": settings}
    for name, value in changes.items():
        (settings if name in settings else wishes)[name] = value
    files = {kind: packed(path) for kind, path in (("portrait", FACE), ("voice", VOICE))}
    made_with = dict.fromkeys(("flashtalk", "model", "device", "settings"), "x")
    path = folder / "a.flashtalk.json"
    tree = {"format": "flashtalk-project", "version": 1, "made_with": made_with, "wishes": wishes, **files}
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def packed(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    return {"name": path.name, "sha256": hashlib.sha256(data).hexdigest(), "data": base64.b64encode(data).decode()}


def hostile(one: Any, visitor: Visitor, folder: Path) -> Iterator[Any]:
    """What may be sent in place of this input."""
    if isinstance(one, gr.Number | gr.Radio | gr.Slider | gr.Dropdown | gr.JSON):
        yield None
    if str(getattr(one, "label", "")).startswith("size") or (
        isinstance(one, gr.Dropdown) and (OWN, OWN) in one.choices
    ):
        yield from LARGE
    elif isinstance(one, gr.Number | gr.Radio | gr.Slider):
        yield from NUMBERS
    elif isinstance(one, gr.Textbox):
        yield LONG
    elif isinstance(one, gr.JSON):
        yield from ([{}, {"steps": 10**6}], [{}, {"seed": 10**20}], [{}, {"colour": 1e9}], [{}, {"width": 2048}])
    elif isinstance(one, gr.File | gr.UploadButton):
        for change in ({"width": 2048, "height": 2048}, {"width": 10**5, "height": 10**5}, {"steps": 10**6}):
            yield visitor.bring(project(folder, **change))
        for change in ({"seed": 10**20}, {"seed": -1}, {"prompt": LONG}, {"colour_strength": 1e9}):
            yield visitor.bring(project(folder, **change))


def places(page: Page) -> Iterator[tuple[BlockFunction, int]]:
    """Every input of every function; of the cards, and of the letters that are compared, one."""
    seen = set()
    for function in page.blocks.fns.values():
        work = function.fn
        for index, one in enumerate(function.inputs if work else ()):
            place = (work.__module__, work.__qualname__, function.api_name, type(one), str(getattr(one, "label", "")))
            if place not in seen:
                seen.add(place)
                yield function, index


def test_no_function_of_the_page_gives_an_engine_what_is_not_offered(page: Page, tmp_path: Path) -> None:
    met, unanswered, puzzled = set(), [], []
    with page.visitor() as visitor:
        for function, index in places(page):
            usual = visitor.inputs(function)
            for value in hostile(function.inputs[index], visitor, tmp_path):
                said = visitor.call(function, [*usual[:index], value, *usual[index + 1 :]])
                met.add(function.api_name or function.name)
                if "went wrong on our side" in said:
                    puzzled.append(f"{function.name} {index} {str(value)[:50]}: {said[:300]}")
                if value in LARGE and OWN not in said:
                    unanswered.append(f"{function.name} {value}: {said[:300]}")
    demand("Sizes that were not answered with those that are offered:", unanswered)
    demand("Said to be a fault of ours:", puzzled)
    assert met >= {
        "make_film",
        "repeat_film",
        "make_long_film",
        "compare",
        "open_live",
        "watch",
        "order",
        "open_project",
    }
    given = page.house.asked
    wrong = [
        f"{stream.width}×{stream.height}, {stream.steps} steps, seed {stream.seed}, {len(prompt)} letters"
        for stream, prompt in given
        if (stream.width, stream.height) != (SIZE_PX, SIZE_PX)
        or stream.steps not in (2, 4)
        or not 0 <= stream.seed <= LARGEST_SEED
        or len(prompt) > MOST_PROMPT_LETTERS
    ]
    demand("Given to an engine:", wrong)
    assert given
    assert page.house.status().ready


def test_the_page_offers_the_sizes_that_its_engines_take() -> None:
    variants = {"small": {"stream.width": 192, "stream.height": 192}}
    with FakeHouse(load_config("cpu", {"serving.variants": variants})) as client:
        own, other = client.sizes, client.variant("small").sizes
        assert (own[0], other[0]) == ((256, 256), (192, 192))
        assert legal_sizes(client) == [size_words(*size) for size in dict.fromkeys([*own, *other])]
        for engine in (client, client.variant("small")):
            assert [engine.stream(width=width, height=height).width for width, height in engine.sizes]
            with pytest.raises(ConfigError, match="choose one of"):
                engine.stream(width=2048, height=2048)


def test_a_comparison_of_which_one_half_cannot_be_makes_none(page: Page) -> None:
    before, compare = len(page.house.asked), page.function("compare")
    with page.visitor() as visitor:
        files = visitor.inputs(compare)[:2]
        assert "from 0 to" in visitor.call(compare, [*files, [{}, {"seed": 10**20}], ""])
        assert len(page.house.asked) == before
        assert '"success": true' in visitor.call(compare, [*files, [{}, {"seed": 5}], ""])
    assert [stream.seed for stream, _ in page.house.asked[before:]] == [0, 5]


@pytest.mark.parametrize("number", [math.inf, math.nan, None])
def test_numbers_that_are_none_are_answered_with_a_sentence(number: Any) -> None:
    """JSON has 1e400, which no whole number is."""
    for steps, seed, colour in ((number, 0, 1.0), (2, math.inf, 1.0), (2, 0, None)):
        with pytest.raises(ConfigError, match="whole numbers"):
            wishes("", seed, steps, OWN, "cover", colour, True)
        with pytest.raises(InputError, match="whole numbers"):
            _variant("A", model="", steps=steps, seed=seed, colour=colour)
