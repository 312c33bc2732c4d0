"""A tab's first words, the choosers of a face and of a voice with our samples beside them, and the line that says that
something chosen is on its way. Used by ui/tabs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import gradio as gr

from flashtalk.errors import FlashTalkError
from flashtalk.ui import faces
from flashtalk.ui.components import PortraitInput, VoiceInput
from flashtalk.ui.context import UiContext
from flashtalk.ui.material import materials_of
from flashtalk.ui.samples import SAMPLES, portrait_path, voice_path
from flashtalk.ui.texts import Pair
from flashtalk.ui.theme import STATIC

TEXTS: dict[str, Pair] = {
    "pick.face": ("Face", "人物"),
    "pick.voice": ("Voice", "声音"),
    "pick.coming": (
        "What you chose is still on its way. This begins by itself when it is there.",
        "您选择的内容尚未就绪，就绪后将自动开始。",
    ),
    "pick.lost": (
        "What you chose did not arrive, so nothing was begun. Choose it again, then press once more.",
        "您选择的内容未能送达，因此没有开始。请重新选择，然后再按一次。",
    ),
}

_MARK = re.compile(r"(?<=[，。；：、？！])(?!<)")
"""Where a line of Chinese may end; WebKit, told to keep words together, would break even before the mark."""


def build_lead(context: UiContext, title: str, more: str) -> None:
    """The large words at the top of a tab, and a sentence that goes with them: two keys of texts."""
    words = f"<h2>{context.texts.html(title)}</h2><p>{context.texts.html(more)}</p>"
    gr.HTML(f'<div class="ft-lead">{_MARK.sub("<wbr>", words)}</div>', apply_default_css=False)


def build_face(context: UiContext, elem_id: str, chosen: str | None = None) -> gr.Image:
    """Chooser of a picture: ours, a file, the camera. Its value in events is a path. `chosen`: one of ours."""
    with gr.Group(elem_classes="ft-step"):
        pictures = [portrait_path(context.assets, sample) for sample in SAMPLES]
        buttons = _build_head(context, "pick.face", pictures)
        portrait = PortraitInput(
            chosen,
            label=context.texts.label("pick.face"),
            show_label=False,
            type="filepath",
            sources=["upload", "webcam", "clipboard"],
            height=200,
            elem_id=elem_id,
            elem_classes="ft-drop",
            buttons=[],
        )
        hint = faces.build_hint()

    def look(path: str | None) -> str:
        """Open what was chosen while the visitor still decides; errors are told when the film is asked for."""
        try:
            portrait_HWC = materials_of(context).portrait(path)
        except FlashTalkError:
            portrait_HWC = None
        return faces.hint(context.texts, None if path in pictures else portrait_HWC)

    _bind(buttons, pictures, portrait)
    portrait.change(look, portrait, hint, show_progress="hidden", api_visibility="private", queue=False)
    return portrait


def build_voice(
    context: UiContext, elem_id: str, chosen: str | None = None, more: Sequence[tuple[str, str]] = ()
) -> gr.Audio:
    """Chooser of a sound: ours, a file, the microphone. Its value in events is a path. `chosen`: one of ours.

    more: key of a text and path of further sounds of ours, which come first.
    """
    with gr.Group(elem_classes="ft-step"):
        buttons = _build_head(context, "pick.voice", None, [key for key, _ in more])
        voice = VoiceInput(
            chosen,
            label=context.texts.label("pick.voice"),
            show_label=False,
            type="filepath",
            sources=["upload", "microphone"],
            elem_id=elem_id,
            elem_classes="ft-drop ft-drop-voice",
            buttons=[],
        )
    _bind(buttons, [*(path for _, path in more), *(voice_path(context.assets, one) for one in SAMPLES)], voice)
    return voice


def build_coming(context: UiContext, go: str) -> None:
    """The line below the button with the id `go`, whose press waits for the tab's uploads; see static/coming.js."""
    told = (f'<span data-for="{state}">{context.texts.html(f"pick.{state}")}</span>' for state in ("coming", "lost"))
    gr.HTML(
        f'<p class="ft-coming" data-go="{go}" role="status">{"".join(told)}</p>',
        elem_classes="ft-coming-place",
        apply_default_css=False,
        js_on_load=(STATIC / "coming.js").read_text(encoding="utf-8"),
    )


def _build_head(
    context: UiContext, title: str, pictures: Sequence[str] | None, more: Sequence[str] = ()
) -> list[gr.Button]:
    """The chooser's name and our samples beside it: round pictures, or words."""
    kind, field = ("ft-thumb", "name") if pictures else ("ft-chip", "words")
    keys = [*more, *(f"sample.{sample.portrait}.{field}" for sample in SAMPLES)]
    with gr.Row(elem_classes="ft-step-head"):
        gr.HTML(f"<h3>{context.texts.html(title)}</h3>", apply_default_css=False, min_width=0)
        return [
            gr.Button(
                context.texts.label(key),
                icon=pictures[index] if pictures else None,
                size="sm",
                min_width=0,
                scale=0,
                elem_classes=kind,
            )
            for index, key in enumerate(keys)
        ]


def _bind(buttons: Sequence[gr.Button], paths: Sequence[str], component: gr.Image | gr.Audio) -> None:
    for button, path in zip(buttons, paths, strict=True):
        button.click(None, None, component, js=_giver(path), api_visibility="private")


def _giver(path: str) -> str:
    """JavaScript: what stands for one of our files, as the server would say it. A press for a film that follows at once
    takes what is in the page by then: this is there without being asked for.
    """
    address = json.dumps(f"gradio_api/file={quote(path)}")
    file = json.dumps({"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}})
    return f"() => ({{ ...{file}, url: new URL({address}, document.baseURI).href }})"
