"""What the page says, in English and Chinese. Each tab brings its own `TEXTS`; ui/build.py collects them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import gradio as gr
from fastapi.requests import HTTPConnection
from gradio.i18n import I18nData

Pair = tuple[str, str]
"""English, Chinese."""

LANGUAGES = ("en", "zh")
LANGUAGE_COOKIE = "flashtalk_language"


class Texts:
    """Looks words up by key ("upload.go"); an unknown key is an error of ours and raises KeyError at once."""

    def __init__(self, *sources: Mapping[str, Pair]) -> None:
        self._pairs: dict[str, Pair] = {}
        for source in sources:
            self._pairs |= source

    def label(self, key: str) -> I18nData:
        """For labels and buttons: Gradio shows it in the visitor's language."""
        self._pairs[key]
        return I18nData(key)

    def say(self, key: str, language: str, **values: object) -> str:
        """A sentence for values computed here, with `{name}` filled in."""
        return self._pairs[key][LANGUAGES.index(language)].format(**values)

    def html(self, key: str, **values: object) -> str:
        """Both languages as HTML; the page's style shows the visitor's. The text may hold tags, values are escaped.

        A value that is a tuple has words for each language.
        """
        spans = []
        for index, language in enumerate(LANGUAGES):
            own = {name: value[index] if isinstance(value, tuple) else value for name, value in values.items()}
            clean = {name: escape(str(value)) for name, value in own.items()}
            spans.append(f'<span lang="{language}" class="ft-lang">{self._pairs[key][index].format(**clean)}</span>')
        return "".join(spans)

    def i18n(self) -> gr.I18n:
        """All of it as Gradio wants it."""
        en, zh = ({key: pair[index] for key, pair in self._pairs.items()} for index in range(2))
        return gr.I18n(en=en, zh=zh, **{"zh-CN": zh, "zh-TW": zh})


def language_of(request: HTTPConnection | gr.Request | None) -> str:
    """What the visitor reads: the page's own switch (address or cookie), else the browser's wish, else English."""
    if request is None or not hasattr(request, "headers"):
        return LANGUAGES[0]
    switch = request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
    chosen = switch or request.headers.get("accept-language", "")
    return "zh" if str(chosen).lower().startswith("zh") else "en"
