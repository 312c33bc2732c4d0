"""Whatever can go wrong on the page has a Chinese sentence: each error's code, and each refusal before a route."""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Iterator

from fastapi.requests import HTTPConnection

from flashtalk.ui import frame, refusal
from flashtalk.ui.live import page as live_page
from flashtalk.ui.samples import SAMPLES
from flashtalk.ui.texts import Texts
from flashtalk.ui.why import CHINESE
from tests.source import Source, demand, sources

HAN = re.compile(r"[\u4e00-\u9fff]")
NOT_ON_THE_PAGE = (
    "flashtalk/commands/*",
    "flashtalk/cli*.py",
    "flashtalk/convert.py",
    "flashtalk/engine/bench*.py",
    "flashtalk/ui/place.py",
)
"""Starting the app, and what only the command line does."""
SENTENCE = re.compile("[A-Z].* ")
KINDS = ("image", "audio")
"""What stands for the braces in f"{kind}_unreadable"."""


def pages_sources() -> list[Source]:
    return [source for source in sources("flashtalk") if not source.matches(NOT_ON_THE_PAGE)]


def words_of(node: ast.AST | None) -> Iterator[str]:
    """All texts that an expression may be; none for what is only passed on."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Constant(value=bytes(data)):
            yield data.decode(errors="replace")
        case ast.IfExp(body=body, orelse=other):
            yield from words_of(body)
            yield from words_of(other)
        case ast.Dict(values=values):
            for value in values:
                yield from words_of(value)
        case ast.JoinedStr(values=parts):
            for kind in KINDS:
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else kind for part in parts)


def name_of(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def codes(source: Source) -> Iterator[str]:
    for node in source.nodes(ast.keyword, ast.Assign, ast.AnnAssign):
        match node:
            case ast.keyword(arg="code", value=value):
                yield from words_of(value)
            case ast.AnnAssign(target=ast.Name(id="code"), value=value):
                yield from words_of(value)
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield from words_of(value)


def test_every_error_that_the_page_can_meet_has_words_in_chinese() -> None:
    """In English it is the error's own sentence."""
    met = {code for source in pages_sources() for code in codes(source)}
    assert {"image_limits", "audio_limits", "no_portrait", "overloaded", "out_of_memory", "engine"} <= met
    told_by_live = {"live_failed", "live_moved"}
    demand("Chinese for an error's code, in ui/why.py:", met - CHINESE.keys() - told_by_live)
    demand("Chinese is Chinese:", [words for words in CHINESE.values() if not HAN.search(words)])


def test_the_live_page_knows_all_of_them() -> None:
    markup = live_page.markup(Texts(live_page.TEXTS), ())
    found = re.search(r'data-words="([^"]*)"', markup)
    assert found
    known = json.loads(html.unescape(found[1]))
    assert known["live_moved"][0]
    demand("Chinese in the live tab:", [code for code in CHINESE if not HAN.search(known[code][1])])


def test_faces_of_the_live_page_are_named_in_both_languages() -> None:
    faces = [sample.portrait.removesuffix(".png") for sample in SAMPLES]
    markup = live_page.markup(Texts(live_page.TEXTS), faces)
    labels = re.findall(r"<label[^>]*><input[^>]*ft-live-portrait.*?</label>", markup)
    told = [tuple(re.findall(r'<span lang="(?:en|zh)" class="ft-lang">(.*?)</span>', label)) for label in labels]
    assert told == [*(sample.name for sample in SAMPLES), live_page.TEXTS["live.own_picture"]]
    assert not any("aria-label" in label for label in labels), "it would be said in place of these"


def sentences(source: Source, names: str) -> Iterator[tuple[ast.AST, str]]:
    """What calls of functions and classes of these names (a pattern) are given."""
    named = {
        target.id: node.value
        for node in source.nodes(ast.Assign)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in source.nodes(ast.Call):
        if isinstance(node, ast.Call) and re.fullmatch(names, name_of(node)):
            given = [*node.args, *(one.value for one in node.keywords)]
            said = [word for one in given for word in words_of(named.get(one.id) if isinstance(one, ast.Name) else one)]
            assert said or name_of(node) != "refused", source.at(node, "a refusal without words")
            yield from ((node, words) for words in said)


def test_every_refusal_is_chinese_for_a_browser_that_prefers_it() -> None:
    """By ui/refusal.py, and for notices and the long-video tab by the page's list of foreign words, which has the same
    rows."""
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": [(b"accept-language", b"zh-CN,zh;q=0.9")]}
    asked = HTTPConnection(scope)
    told = {words for source in sources("flashtalk/ui") for _, words in sentences(source, "refused|translated")}
    assert len(told) > 20
    said = {words: json.loads(bytes(refusal.refused(asked, 404, words).body))["error"] for words in told}
    demand("Chinese for a refusal, in ui/refusal.py:", [words for words in told if not HAN.search(said[words])])
    demand("Filled in:", [words for words in said.values() if "{}" in words])
    assert refusal.WORDS.items() <= frame.GRADIO.items()


def test_no_answer_is_a_sentence_that_goes_round_the_refusals() -> None:
    demand(
        "`refused` or `translated` of ui/refusal.py around:",
        [
            source.at(node, words)
            for source in sources("flashtalk/ui")
            for node, words in sentences(source, ".*(Exception|Response|Message)")
            if SENTENCE.match(words)
        ],
    )
