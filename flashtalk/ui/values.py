"""Values of a call that are not of the kind that its function takes: who sent them gets a sentence, the log nothing.
Gradio fails inside over them, each component in a way of its own. Used by ui/build.py.
"""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.blocks import Block
from gradio.components import Component
from gradio.context import LocalContext
from gradio.state_holder import SessionState

from flashtalk.ui.mishaps import sentence
from flashtalk.ui.texts import LANGUAGES, Pair, language_of

_LETTERS = 40
TEXTS: dict[str, Pair] = {
    "values.wrong": (
        "{name}: {given} is not possible here; give {wanted}.",
        "{name}：此处不能使用 {given}；请给出{wanted}。",
    ),
    "values.unusable": (
        "A value of this call cannot be used; load the page again, or see what the call takes.",
        "请求中有一个值不可用；请重新加载页面，或查看该接口需要的内容。",
    ),
    "values.number": ("a number{span}", "数字{span}"),
    "values.choice": ("one of {choices}", "以下之一：{choices}"),
    "values.file": ("a file that was uploaded here", "已上传到此处的文件"),
    "values.text": ("a text", "文字"),
    "values.other": ("what the page sends", "页面所发送的内容"),
}


def watch_values(blocks: gr.Blocks) -> None:
    """From here on its functions are called with values of the right kind, or not at all; missing text is empty."""
    process_api, preprocess_data = blocks.process_api, blocks.preprocess_data

    async def known(*call: Any, **more: Any) -> dict[str, Any]:
        """Who asks is known before the values are looked at: the sentence is in their language."""
        held = LocalContext.request.set(more.get("request"))
        try:
            return await process_api(*call, **more)
        finally:
            LocalContext.request.reset(held)

    async def checked(
        function: BlockFunction, inputs: list[Any], state: SessionState | None, explicit_call: bool = False
    ) -> list[Any]:
        try:
            if not all(map(_is_text, function.inputs, inputs)):
                raise TypeError("no text")
            values = await preprocess_data(function, inputs, state, explicit_call)
        except OSError as error:  # a disk of ours
            raise gr.Error(sentence(error), print_exception=False) from None
        except Exception:
            raise gr.Error(_told(function, inputs, state), print_exception=False) from None
        pairs = zip(function.inputs, values, strict=True)
        return ["" if value is None and isinstance(one, gr.Textbox) else value for one, value in pairs]

    # A class of our own would have Gradio write files when it is imported.
    blocks.process_api = known  # type: ignore[method-assign]
    blocks.preprocess_data = checked  # type: ignore[method-assign,assignment]


def _told(function: BlockFunction, inputs: list[Any], state: SessionState | None) -> str:
    """About the first of `inputs` that does not fit."""
    for block, given in zip(function.inputs, inputs, strict=False):
        one: Any = state[block._id] if state is not None and block._id in state else block
        if not (one.stateful or _fits(one, given)):
            name = one.label if isinstance(one.label, str) else one.get_block_name()
            words = json.dumps(given, ensure_ascii=False)
            words = words if len(words) <= _LETTERS else f"{words[:_LETTERS]}…"
            return _say("values.wrong", name=name, given=words, wanted=_wanted(one))
    return _say("values.unusable")


def _is_text(one: Block, given: Any) -> bool:
    """Or belongs where none does; Gradio would write anything down as one."""
    return not (isinstance(one, gr.Textbox) and isinstance(given, dict | list))


def _fits(one: Component, given: Any) -> bool:
    if not _is_text(one, given):
        return False
    model: Any = getattr(one, "data_model", None)
    try:
        if model is None:
            one.preprocess(given)
        elif given is not None:
            model.model_validate(given, context={"validate_meta": True})
    except Exception:
        return False
    return True


def _wanted(one: Component) -> str:
    if isinstance(one, gr.Number | gr.Slider):
        ends = ["" if end is None else f"{end:g}" for end in (one.minimum, one.maximum)]
        return _say("values.number", span=f" ({' … '.join(ends)})" if any(ends) else "")
    if isinstance(one, gr.Radio | gr.Dropdown):
        return _say("values.choice", choices=", ".join(str(value) for _, value in one.choices))
    if isinstance(one, gr.Textbox):
        return _say("values.text")
    return _say("values.file" if getattr(one, "data_model", None) else "values.other")


def _say(key: str, **values: object) -> str:
    language = language_of(LocalContext.request.get(None))
    return TEXTS[key][LANGUAGES.index(language)].format(**values)
