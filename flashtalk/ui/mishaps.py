"""Errors as sentences in the visitor's language, when something goes wrong. Wraps every function that Gradio calls."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr
from fastapi.requests import HTTPConnection
from gradio.context import LocalContext

from flashtalk.errors import FlashTalkError
from flashtalk.ui.around import Function, inside
from flashtalk.ui.texts import LANGUAGES, Pair, language_of
from flashtalk.ui.why import chinese

TEXTS: dict[str, Pair] = {
    "mishap.ours": (
        "Something went wrong on our side. Try again; if it stays, report it with the word {mark}.",
        "我们这边出了问题，请重试；若仍出现，请报告编号 {mark}。",
    ),
}

_log = logging.getLogger(__name__)


def spoken(function: Function) -> Function:
    """The function with its errors turned into `gr.Error`: ours word for word, others without their inside."""
    return inside(_as_sentences, function)


def sentence(error: BaseException, asked: HTTPConnection | None = None) -> str:
    """What to show for it to whoever asks: by this request, or else in this context of Gradio's.

    An unexpected error gets a word under which the log has the details.
    """
    language = language_of(asked or LocalContext.request.get(None))
    if not isinstance(error, FlashTalkError):
        mark = secrets.token_hex(4)
        _log.error("unexpected error %s", mark, exc_info=error)
        return TEXTS["mishap.ours"][LANGUAGES.index(language)].format(mark=mark)
    if language == "zh":
        return chinese(error)
    text = str(error).strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


@contextmanager
def _as_sentences() -> Iterator[None]:
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        raise gr.Error(sentence(error), duration=12, print_exception=False) from None
