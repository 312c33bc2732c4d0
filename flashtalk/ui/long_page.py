"""What the long-video tab says and how it is laid out; its script is static/long_video.js. For tabs/long_video.py."""

from __future__ import annotations

import json
from html import escape

from flashtalk.ui.texts import Pair, Texts

TEXTS: dict[str, Pair] = {
    "long.title": ("Long video", "长视频"),
    "long.lead": ("A film as long as you like.", "想多长就多长的视频。"),
    "long.lead_more": (
        "Hours of sound are fine. Close the page, come back tomorrow: it goes on, and what is there can be watched.",
        "数小时的声音也可以。关闭页面、明天再来：生成不会中断，已完成的部分随时可看。",
    ),
    "long.face": ("Face", "人物"),
    "long.voice": ("Voice", "声音"),
    "long.name": ("Name of the film", "视频名称"),
    "long.name_hint": ("My talk", "我的演讲"),
    "long.go": ("Make this film", "生成视频"),
    "long.films": ("Your films", "您的视频"),
}

WORDS: dict[str, Pair] = {
    "none": ("No films yet. Choose a face and a voice, and start one.", "还没有视频。选择人物和声音后开始。"),
    "waiting": ("Waiting, place {place}", "等待中，第 {place} 位"),
    "rendering": ("Being made", "生成中"),
    "paused": ("Paused", "已暂停"),
    "done": ("Ready", "已完成"),
    "failed": ("Stopped by a problem", "因故障停止"),
    "cancelled": ("Cancelled", "已取消"),
    "left": ("{time} left", "剩余 {time}"),
    "fps": ("{fps} frames a second", "{fps} 帧/秒"),
    "pause": ("Pause", "暂停"),
    "resume": ("Go on", "继续"),
    "cancel": ("Cancel", "取消"),
    "remove": ("Remove", "删除"),
    "watch": ("Watch", "观看"),
    "save": ("Save the film", "保存视频"),
    "sure": ("Sure?", "确定？"),
    "lost": ("The server does not answer; trying again.", "服务器无响应，正在重试。"),
    "drift": ("Does it stay the same person?", "人物是否保持一致？"),
    "likeness": ("likeness", "相似度"),
    "sharpness": ("sharpness", "清晰度"),
    "colour": ("colour shift", "色偏"),
    "drift_hint": (
        "Level lines mean that nothing drifts away from the portrait.",
        "曲线平稳表示画面没有偏离原照片。",
    ),
    "again": ("Make a part again", "重做一段"),
    "again_hint": (
        "The seconds between the two are made anew, as a film of its own beside this one.",
        "两个时间点之间的内容将重新生成，另存为一部新视频。",
    ),
    "from": ("from second", "从第几秒"),
    "to": ("to second", "到第几秒"),
    "again_go": ("Make it again", "重做"),
    "part": ("seconds {from} to {to} again", "重做第 {from} 至 {to} 秒"),
}

HEAD = '<link rel="stylesheet" href="/ft/public/static/long_video.css">'
SCRIPT = 'import("/ft/public/static/long_video.js").then((module) => module.start(element));'


def lead(texts: Texts) -> str:
    """The words above the tab."""
    return f'<div class="ft-lead"><h2>{texts.html("long.lead")}</h2><p>{texts.html("long.lead_more")}</p></div>'


def markup(texts: Texts) -> str:
    """Player, drift meter and the list; the script fills them."""
    words = escape(json.dumps(WORDS, ensure_ascii=False), quote=True)
    return f"""
<section class="ft-long" data-words="{words}" data-state="none">
  <div class="ft-long-stage"><video playsinline controls preload="metadata" aria-label="FlashTalk"></video></div>
  <p class="ft-long-note" role="status" aria-live="polite"></p>
  <div class="ft-long-detail" hidden></div>
  <h3>{texts.html("long.films")}</h3>
  <ul class="ft-long-list"></ul>
</section>"""
