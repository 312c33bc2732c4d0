"""The microphone tab's markup and words. Called by ui/tabs/microphone.py; brought to life by static/live.js."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from flashtalk.ui.samples import SAMPLES
from flashtalk.ui.texts import LANGUAGES, Pair, Texts
from flashtalk.ui.why import CHINESE

TEXTS: dict[str, Pair] = {
    "live.title": ("Live", "实时对话"),
    "live.start": ("Start talking", "开始说话"),
    "live.stop": ("Stop", "结束"),
    "live.interrupt": ("Interrupt", "打断"),
    "live.mute": ("Mute", "静音"),
    "live.faces": ("Face", "面孔"),
    "live.sample": ("No microphone? Let a sample voice speak", "没有麦克风？试听示例声音"),
    "live.device": ("Microphone", "麦克风"),
    "live.device_default": ("Chosen by the browser", "浏览器默认"),
    "live.picture": ("The face that speaks with your voice", "用你的声音说话的人物"),
    "live.own": ("Your own face", "使用自己的照片"),
    "live.own_picture": ("Your picture", "你的照片"),
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
    "live.plain_lost": (
        "Some of your words did not arrive: the connection or this machine is too slow for the plain mode.",
        "部分话语未能送达：网络或这台机器的速度不足以使用简易模式。",
    ),
    "live.delay": ("From your mouth to the picture", "从开口到画面"),
    "live.delay_hint": (
        "A piece of speech must be heard to its end before its pictures can be made; the rest is work.",
        "要先听完一段话才能生成它的画面，其余是处理时间。",
    ),
    "live.listen": ("Hearing a piece", "听完一段话"),
    "live.wait": ("Waiting its turn", "排队"),
    "live.compute": ("Computing", "计算"),
    "live.encode": ("Encoding", "编码"),
    "live.network": ("Network", "网络"),
    "live.buffer": ("Buffer", "缓冲"),
    "live.counts": (
        "pictures late: {late} · left out: {dropped} · seconds of speech left out: {words} · reconnected: {reconnects}",
        "迟到画面：{late} · 省略画面：{dropped} · 略过的话语（秒）：{words} · 重连：{reconnects}",
    ),
    "live.lead": ("Speak with another face.", "用另一张脸说话。"),
    "live.hint": (
        "Speak, and the face speaks with your voice. Use headphones, or the face hears itself.",
        "对着麦克风说话，人物会用你的声音开口。请戴耳机，以免它听到自己。",
    ),
}
STATUS: dict[str, Pair] = {
    "idle": ("Press Start and allow the microphone.", "点击“开始说话”并允许使用麦克风。"),
    "asking": ("The browser asks for your microphone: allow it.", "浏览器正在请求使用麦克风，请允许。"),
    "connecting": ("Connecting …", "正在连接……"),
    "talking": ("Live. Say something.", "已连接，请说话。"),
    "sample": (
        "A sample voice speaks, the same way as yours would. Then press Start and talk yourself.",
        "示例声音正以同样的方式驱动人物。之后请点击“开始说话”亲自试试。",
    ),
    "sample_over": ("That was a sample voice. Now you: press Start.", "示例声音已结束。轮到您了：请点击“开始说话”。"),
    "lost": ("The connection broke; trying again. Your conversation is kept.", "连接中断，正在重连。对话已保留。"),
    "resumed": ("Back again; the conversation goes on from now.", "已恢复，对话从现在继续。"),
    "place": ("All seats are taken; you are number {place} in line.", "座位已满，您排在第 {place} 位。"),
    "restarting": ("The model restarts; this takes a moment. Stay here.", "模型正在重启，请稍候，不要离开。"),
    "slower": ("The picture is simplified so that it keeps up with you.", "为跟上你的速度，画面已简化。"),
    "too_slow": ("This machine cannot keep up; some words are left out.", "这台机器速度不足，部分话语已略过。"),
    "stopped": ("Stopped.", "已结束。"),
    "changed": ("New face: press Start.", "已更换面孔，请重新开始。"),
    "ended": ("The connection could not be kept; press Start.", "连接无法保持，请重新开始。"),
    "session_closed": ("This conversation has ended; press Start for a new one.", "本次对话已结束，请重新开始。"),
    "live_failed": ("Something went wrong on our side; press Start to begin again.", "我们这边出了问题，请重新开始。"),
    "live_moved": ("This conversation goes on in another window.", "对话已转到另一个窗口。"),
    "live_message": ("This page and the server do not understand each other; load it again.", "页面已不匹配，请刷新。"),
    "overloaded": ("All seats are taken; try again in a minute.", "座位已满，请稍后再试。"),
    "token_refused": ("This page is too old; load it again.", "页面已过期，请刷新。"),
    "portrait_gone": (
        "This picture is not here any more; choose or upload one again.",
        "照片已删除，请重新选择或上传。",
    ),
    "player": ("This browser could not play the pictures; load the page again.", "浏览器无法播放画面，请刷新页面。"),
    "microphone": (
        "The microphone is blocked. Allow it beside the page's address, then press Start; or let a sample voice speak.",
        "麦克风被阻止。请在地址栏旁允许后重新开始，或试听示例声音。",
    ),
    "no_microphone": (
        "No microphone was found. Plug one in and press Start; or let a sample voice speak.",
        "未找到麦克风。请接入后重新开始，或试听示例声音。",
    ),
    "microphone_busy": (
        "Another program uses the microphone. Close it and press Start; or let a sample voice speak.",
        "麦克风正被其他程序使用。请关闭该程序后重新开始，或试听示例声音。",
    ),
    "microphone_gone": (
        "The microphone was taken away. Choose another one and press Start.",
        "麦克风已断开。请选择其他麦克风后重新开始。",
    ),
    "microphone_kept": (
        "That microphone cannot be used now; the conversation goes on as before.",
        "该麦克风现在无法使用，对话照旧继续。",
    ),
    "no_loudspeaker": (
        "The browser found no loudspeaker. Plug in a loudspeaker or headphones and press Start.",
        "未找到扬声器。请接入扬声器或耳机后重新开始。",
    ),
    "insecure": (
        "Browsers allow a microphone only on https pages and on localhost. Open this page with https.",
        "浏览器只允许 https 页面或 localhost 使用麦克风。请用 https 打开本页。",
    ),
    "unsupported": (
        "This browser is too old for the live mode. Use the plain mode below, or another browser.",
        "此浏览器不支持实时模式。请使用下方的简易模式或更换浏览器。",
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
HEAD = '<link rel="stylesheet" href="live/static/live.css">'
_OURS = {Path(sample.portrait).stem: sample for sample in SAMPLES}

_STAGES = ("listen", "wait", "compute", "encode", "network", "buffer")
_COUNTS = ("late", "dropped", "words", "reconnects")


def markup(texts: Texts, faces: Iterable[str]) -> str:
    """The tab's HTML: stage, buttons, faces, meter."""
    known = {code: ("", words) for code, words in CHINESE.items()} | STATUS
    words = escape(json.dumps(known, ensure_ascii=False), quote=True)
    return f"""
<section class="ft-live" data-state="idle" data-words="{words}">
  <div class="ft-live-stage" role="img" aria-labelledby="ft-live-picture">
    <span id="ft-live-picture" hidden>{texts.html("live.picture")}</span>
    <img class="ft-live-still" alt="" src="">
    <canvas width="256" height="256" aria-hidden="true"></canvas>
    <video playsinline aria-hidden="true"></video>
    <span class="ft-live-lamp" aria-hidden="true"></span>
  </div>
  <div class="ft-live-side">
    <fieldset class="ft-live-faces"><legend>{texts.html("live.faces")}</legend>{_faces(faces)}</fieldset>
    <div class="ft-live-buttons">
      <button type="button" class="ft-live-go" data-do="start" aria-pressed="false"><span class="ft-live-off">{
        texts.html("live.start")
    }</span><span class="ft-live-on">{texts.html("live.stop")}</span></button>
      <button type="button" data-do="interrupt" disabled>{texts.html("live.interrupt")}</button>
      <button type="button" data-do="mute" aria-pressed="false" disabled>{texts.html("live.mute")}</button>
    </div>
    <button type="button" class="ft-live-sample" data-do="sample">{texts.html("live.sample")}</button>
    <label class="ft-live-device"><span>{texts.html("live.device")}</span>
      <select>{_default_device(texts)}</select>
      <span class="ft-live-level" aria-hidden="true"><span></span></span></label>
    <p class="ft-live-status" role="status" aria-live="polite">{_both(STATUS["idle"])}</p>
    {_meter(texts)}
  </div>
</section>"""


def _default_device(texts: Texts) -> str:
    """An option holds no elements among which the style could choose the language: the script does."""
    en, zh = (escape(texts.say("live.device_default", language), quote=True) for language in LANGUAGES)
    return f'<option value="" data-zh="{zh}">{en}</option>'


def _faces(names: Iterable[str]) -> str:
    def face(name: str, said: Pair, picture: str, extra: str) -> str:
        voice = _OURS.get(name, SAMPLES[0]).voice
        return (
            f'<label {extra}><input type="radio" name="ft-live-portrait" value="{escape(name)}"'
            f' data-voice="{escape(voice)}">'
            f'<img src="{escape(picture)}" alt="" loading="lazy" width="64" height="64">'
            f'<span class="ft-unseen">{_both(said)}</span></label>'
        )

    def ours(name: str) -> str:
        said = _OURS[name].name if name in _OURS else (name.capitalize(), name.capitalize())
        return face(name, said, f"ft/public/portraits/{name}.png", "")

    own = face("own", TEXTS["live.own_picture"], "", 'class="ft-live-own" hidden')
    return "".join(map(ours, names)).replace("<input", "<input checked", 1) + own


def _meter(texts: Texts) -> str:
    rows = "".join(
        f'<li data-stage="{name}"><span>{texts.html(f"live.{name}")}</span><i></i><b>–</b></li>' for name in _STAGES
    )
    counts = texts.html("live.counts", **{name: f"@{name}@" for name in _COUNTS})
    for name in _COUNTS:
        counts = counts.replace(f"@{name}@", f'<b data-count="{name}">0</b>')
    return f"""<div class="ft-live-meter"><h3>{texts.html("live.delay")} <b class="ft-live-total">–</b></h3>
    <p class="ft-live-extra">{texts.html("live.delay_hint")}</p>
    <ol>{rows}</ol><p class="ft-live-extra">{counts}</p></div>"""


def _both(pair: Pair) -> str:
    return "".join(
        f'<span lang="{language}" class="ft-lang">{escape(text)}</span>'
        for language, text in zip(LANGUAGES, pair, strict=True)
    )
