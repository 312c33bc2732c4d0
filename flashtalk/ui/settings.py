"""The settings of a film, folded away: built once for each tab that makes films, read back as `Wishes`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from flashtalk.errors import ConfigError
from flashtalk.serving.asked import MOST_PROMPT_LETTERS, size_words
from flashtalk.serving.protocol import Client
from flashtalk.ui.context import UiContext
from flashtalk.ui.film import engine_of
from flashtalk.ui.project import Wishes
from flashtalk.ui.texts import Pair

TEXTS: dict[str, Pair] = {
    "settings.title": ("Settings", "设置"),
    "settings.prompt": ("What the person does and where", "人物的动作与场景"),
    "settings.prompt_example": (
        "A person talks to the camera and smiles now and then.",
        "一个人对着镜头说话，时而微笑。",
    ),
    "settings.seed": ("Seed", "随机种子"),
    "settings.seed_info": ("The same seed and settings make the same film.", "相同的种子和设置会生成相同的视频。"),
    "settings.model": ("Model", "模型"),
    "settings.model_starts": ("Starting the model “{model}”", "正在启动模型“{model}”"),
    "settings.steps": ("Steps", "步数"),
    "settings.steps_info": (
        "Fewer is faster; the Compare tab shows what it costs.",
        "越少越快；可在“对比”页查看差别。",
    ),
    "settings.size": ("Size", "尺寸"),
    "settings.size_info": (
        "The first is what the model does best.",
        "第一个尺寸效果最好。",
    ),
    "settings.fit": ("Picture", "构图"),
    "settings.cover": ("Crop around the face", "围绕人脸裁剪"),
    "settings.contain": ("Show all of it", "完整显示"),
    "settings.colour": ("Hold the portrait's colours", "保持照片色彩"),
    "settings.project": ("Open a project file", "打开项目文件"),
    "settings.label": ("Write “AI-generated” on the picture", "在画面上标注“AI-generated”"),
}

_MOST_STEPS = 8
_SIZE = re.compile(r"(\d{1,9})[×x](\d{1,9})")


@dataclass(frozen=True)
class SettingsPanel:
    """The components of one panel, in the order of `wishes`; where the model cannot be chosen, there is none."""

    folder: gr.Accordion
    prompt: gr.Textbox
    seed: gr.Number
    steps: gr.Radio
    size: gr.Dropdown
    fit: gr.Radio
    colour: gr.Slider
    label: gr.Checkbox
    model: gr.Dropdown | None

    @property
    def components(self) -> list[Component]:
        """Inputs of an event; `wishes` takes their values in this order."""
        chosen: list[Component] = [self.prompt, self.seed, self.steps, self.size, self.fit, self.colour, self.label]
        return [*chosen, self.model] if self.model else chosen


def build_settings(context: UiContext, *, models: bool = False) -> SettingsPanel:
    """The folded panel; with `models`, the model can be chosen, too."""
    client, label = context.client, context.texts.label
    stream = client.stream()
    with gr.Accordion(label("settings.title"), open=False, elem_classes="ft-settings") as folder:
        prompt = gr.Textbox(
            label=label("settings.prompt"),
            value="",
            placeholder=label("settings.prompt_example"),
            max_length=MOST_PROMPT_LETTERS,
        )
        model = build_model(context) if models else None
        with gr.Row():
            seed = gr.Number(
                stream.seed, label=label("settings.seed"), info=label("settings.seed_info"), precision=0, minimum=0
            )
            steps = gr.Radio(
                legal_steps(client),
                value=stream.steps,
                label=label("settings.steps"),
                info=label("settings.steps_info"),
            )
        with gr.Row():
            size = gr.Dropdown(
                legal_sizes(client),
                value=size_words(stream.width, stream.height),
                label=label("settings.size"),
                info=label("settings.size_info"),
            )
            fit = gr.Radio(
                [(label("settings.cover"), "cover"), (label("settings.contain"), "contain")],
                value=stream.fit,
                label=label("settings.fit"),
            )
        colour = gr.Slider(0, 1, value=stream.colour_strength, step=0.05, label=label("settings.colour"))
        words = gr.Checkbox(context.settings.label_default, label=label("settings.label"))
    return SettingsPanel(folder, prompt, seed, steps, size, fit, colour, words, model)


def build_model(context: UiContext, chosen: str = "") -> gr.Dropdown:
    """Chooser of the engine; hidden where there is but one."""
    client = context.client
    choices = [(f"{client.info.model} · {client.info.dtype}", ""), *((name, name) for name in client.variants)]
    return gr.Dropdown(choices, value=chosen, label=context.texts.label("settings.model"), visible=len(choices) > 1)


def build_project(context: UiContext, panel: SettingsPanel) -> gr.UploadButton:
    """At the end of a panel, for a tab that reads a project's file."""
    with panel.folder:
        return gr.UploadButton(
            context.texts.label("settings.project"),  # type: ignore[arg-type]  # Gradio translates it all the same
            file_types=[".json"],
            size="sm",
            elem_classes="ft-project",
        )


def wishes(
    prompt: str, seed: float, steps: int, size: str, fit: str, colour: float, label: bool, model: str = ""
) -> Wishes:
    """Values of a panel's components, in their order; the client judges them. Raises ConfigError for what is none."""
    written = _SIZE.fullmatch(str(size))
    if not written:
        raise ConfigError(f"The size {str(size)[:20]!r} is not one; write it like 256×256.")
    try:
        numbers = {"steps": int(steps), "width": int(written[1]), "height": int(written[2])}
        seed, colour = int(seed or 0), float(colour)
    except (TypeError, ValueError, OverflowError):  # none given, not a number, or without end
        raise ConfigError(
            "Steps and seed are whole numbers, and how firmly colours are held is one from 0 to 1."
        ) from None
    settings = {**numbers, "fit": fit, "colour_strength": colour}
    return Wishes(prompt=prompt or "", seed=seed, label=bool(label), model=model or "", settings=settings)


def panel_values(wanted: Wishes, client: Client) -> list[Any]:
    """The inverse of `wishes`, for a panel with a model. Raises ConfigError for what this model cannot do."""
    model = wanted.model if wanted.model in client.variants else ""
    stream = engine_of(client, model).stream(seed=wanted.seed, **wanted.settings)
    size = size_words(stream.width, stream.height)
    return [wanted.prompt, wanted.seed, stream.steps, size, stream.fit, stream.colour_strength, wanted.label, model]


def legal_steps(client: Client) -> list[int]:
    """Step counts that the weights of any of the client's engines were trained for."""
    engines = _engines(client)
    return [steps for steps in range(1, _MOST_STEPS + 1) if any(_can_do(engine, steps) for engine in engines)]


def legal_sizes(client: Client) -> list[str]:
    """What any of the client's engines can do in reasonable time, the client's own first."""
    return list(dict.fromkeys(size_words(*size) for engine in _engines(client) for size in engine.sizes))


def _engines(client: Client) -> list[Client]:
    return [client, *(client.variant(name) for name in client.variants)]


def _can_do(engine: Client, steps: int) -> bool:
    try:
        engine.stream(steps=steps)
    except ConfigError:
        return False
    return True
