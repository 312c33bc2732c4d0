"""The microphone tab's markup and words. Called by ui/tabs/microphone.py; brought to life by static/live.js."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape

from flashtalk.ui.texts import Pair, Texts

TEXTS: dict[str, Pair] = {
    "live.title": ("Live", "实时对话"),
    "live.start": ("Start talking", "开始说话"),
    "live.stop": ("Stop", "结束"),
    "live.interrupt": ("Interrupt", "打断"),
    "live.mute": ("Mute", "静音"),
    "live.faces": ("Face", "面孔"),
    "live.own": ("Your own face", "使用自己的照片"),
    "live.own_hint": (
        "Only pictures of people who agreed to it. Deleted after {minutes} minutes.",
        "请只使用已获本人同意的照片，{minutes} 分钟后删除。",
    ),
    "live.plain": (
        "Plain mode, for browsers and networks that refuse the live one",
        "简易模式（浏览器或网络不支持实时模式时）",
    ),
    "live.plain_hint": (
        "Press the microphone. The answer comes a second or two later than in the live mode.",
        "点击麦克风开始。画面比实时模式再晚一两秒。",
    ),
    "live.delay": ("From your mouth to the picture", "从开口到画面"),
    "live.listen": ("Sound for a piece", "一段所需的声音"),
    "live.wait": ("Waiting its turn", "排队"),
    "live.compute": ("Computing", "计算"),
    "live.encode": ("Encoding", "编码"),
    "live.network": ("Network", "网络"),
    "live.buffer": ("Buffer", "缓冲"),
    "live.counts": (
        "pictures late: {late} · left out: {dropped} · reconnected: {reconnects}",
        "迟到画面：{late} · 省略画面：{dropped} · 重连：{reconnects}",
    ),
    "live.hint": (
        "Speak, and the face speaks with your voice. Use headphones, or the face hears itself.",
        "对着麦克风说话，人物会用你的声音开口。请戴耳机，以免它听到自己。",
    ),
}
STATUS: dict[str, Pair] = {
    "idle": ("Press Start and allow the microphone.", "点击“开始说话”并允许使用麦克风。"),
    "connecting": ("Connecting …", "正在连接……"),
    "talking": ("Live. Say something.", "已连接，请说话。"),
    "lost": ("The connection broke; trying again. Your conversation is kept.", "连接中断，正在重连。对话已保留。"),
    "place": ("All seats are taken; you are number {place} in line.", "座位已满，您排在第 {place} 位。"),
    "restarting": ("The model restarts; this takes a moment.", "模型正在重启，请稍候。"),
    "slower": ("The picture is simplified so that it keeps up with you.", "为跟上你的速度，画面已简化。"),
    "too_slow": ("This machine cannot keep up; some words are left out.", "这台机器速度不足，部分话语已略过。"),
    "stopped": ("Stopped.", "已结束。"),
    "changed": ("New face: press Start.", "已更换面孔，请重新开始。"),
    "ended": ("The connection could not be kept; press Start.", "连接无法保持，请重新开始。"),
    "overloaded": ("All seats are taken; try again in a minute.", "座位已满，请稍后再试。"),
    "token_refused": ("This page is too old; load it again.", "页面已过期，请刷新。"),
    "microphone": (
        "The microphone was not allowed. Allow it in the browser's address bar and press Start.",
        "麦克风未获允许。请在地址栏中允许后重试。",
    ),
    "unsupported": (
        "This browser cannot do it here (it needs https or localhost). Use the plain mode below.",
        "此浏览器无法使用（需要 https 或 localhost）。请使用下方的简易模式。",
    ),
}

SCRIPT = """
const root = element.querySelector(".ft-live");
const words = JSON.parse(root.dataset.words);
const token = () => document.querySelector("#ft-live-pass [data-token]")?.dataset.token || "";
const address = new URL("live/static/live.js", document.baseURI);
import(address).then((live) => live.start(element, () => ({ words, token: token() })));
"""
CHOSEN_FACE = "() => [document.querySelector('[name=ft-live-portrait]:checked')?.value || '']"
"""JavaScript: what the plain mode takes from the faces above it."""
HEAD = '<link rel="stylesheet" href="/live/static/live.css">'

_STAGES = ("listen", "wait", "compute", "encode", "network", "buffer")


def markup(texts: Texts, faces: Iterable[str]) -> str:
    """The tab's HTML: stage, buttons, faces, meter."""
    words = escape(json.dumps(STATUS, ensure_ascii=False), quote=True)
    return f"""
<section class="ft-live" data-state="idle" data-words="{words}">
  <div class="ft-live-stage">
    <img class="ft-live-still" alt="" src="">
    <canvas width="256" height="256" aria-hidden="true"></canvas>
    <video playsinline aria-hidden="true"></video>
    <span class="ft-live-lamp" aria-hidden="true"></span>
  </div>
  <div class="ft-live-side">
    <p class="ft-live-hint">{texts.html("live.hint")}</p>
    <fieldset class="ft-live-faces"><legend>{texts.html("live.faces")}</legend>{_faces(faces)}</fieldset>
    <div class="ft-live-buttons">
      <button type="button" class="ft-live-go" data-do="start" aria-pressed="false"><span class="ft-live-off">{
        texts.html("live.start")
    }</span><span class="ft-live-on">{texts.html("live.stop")}</span></button>
      <button type="button" data-do="interrupt" disabled>{texts.html("live.interrupt")}</button>
      <button type="button" data-do="mute" aria-pressed="false" disabled>{texts.html("live.mute")}</button>
    </div>
    <div class="ft-live-level" aria-hidden="true"><span></span></div>
    <p class="ft-live-status" role="status" aria-live="polite">{_both(STATUS["idle"])}</p>
    {_meter(texts)}
  </div>
</section>"""


def _faces(names: Iterable[str]) -> str:
    def face(name: str, picture: str, extra: str) -> str:
        said = escape(name.capitalize())
        return (
            f'<label {extra}><input type="radio" name="ft-live-portrait" value="{escape(name)}" aria-label="{said}">'
            f'<img src="{escape(picture)}" alt="" loading="lazy" width="64" height="64"></label>'
        )

    ours = "".join(face(name, f"/ft/public/portraits/{name}.png", "") for name in names)
    return ours.replace("<input", "<input checked", 1) + face("own", "", 'class="ft-live-own" hidden')


def _meter(texts: Texts) -> str:
    rows = "".join(
        f'<li data-stage="{name}"><span>{texts.html(f"live.{name}")}</span><i></i><b>–</b></li>' for name in _STAGES
    )
    counts = texts.html("live.counts", late="@late@", dropped="@dropped@", reconnects="@reconnects@")
    for name in ("late", "dropped", "reconnects"):
        counts = counts.replace(f"@{name}@", f'<b data-count="{name}">0</b>')
    return f"""<div class="ft-live-meter"><h3>{texts.html("live.delay")} <b class="ft-live-total">–</b></h3>
    <ol>{rows}</ol><p class="ft-live-extra">{counts}</p></div>"""


def _both(pair: Pair) -> str:
    return "".join(
        f'<span lang="{language}" class="ft-lang">{escape(text)}</span>'
        for language, text in zip(("en", "zh"), pair, strict=True)
    )
