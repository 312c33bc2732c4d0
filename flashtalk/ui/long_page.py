"""What the long-video tab says and how it is laid out; its script is static/long_video.js. For tabs/long_video.py."""

from __future__ import annotations

import json
from html import escape

from flashtalk.ui.texts import Pair, Texts
from flashtalk.ui.why import CHINESE

TEXTS: dict[str, Pair] = {
    "long.title": ("Long video", "长视频"),
    "long.lead": ("A film as long as you like.", "想多长就多长的视频。"),
    "long.lead_more": (
        "Hours of sound are fine. Close the page, come back tomorrow: it goes on, and what is there can be watched.",
        "数小时的声音也可以。关闭页面、明天再来：生成不会中断，已完成的部分随时可看。",
    ),
    "long.talk": ("A minute's talk", "一分钟演讲"),
    "long.name": ("Name of the film", "视频名称"),
    "long.name_hint": ("My talk", "我的演讲"),
    "long.go": ("Make this film", "生成视频"),
    "long.films": ("Your films", "您的视频"),
}

WORDS: dict[str, Pair] = {
    "none": (
        "No films yet. A face and a minute of speech are chosen: press the button and watch.",
        "还没有视频。人物和一分钟的声音已选好：按下按钮即可观看。",
    ),
    "taking": ("Your sound is being read; hours take a minute or two.", "正在读取声音；数小时的声音需要一两分钟。"),
    "waiting": ("Waiting, place {place}", "等待中，第 {place} 位"),
    "seat": ("Waiting for a seat, place {place}", "等待空位，第 {place} 位"),
    "rendering": ("Being made", "生成中"),
    "paused": ("Paused", "已暂停"),
    "done": ("Ready", "已完成"),
    "failed": ("Stopped by a problem", "因故障停止"),
    "cancelled": ("Cancelled", "已取消"),
    "asked": ("Stops at the end of this chunk", "将在当前片段结束后停止"),
    "kept": ("{size}, kept until {day}", "{size}，保留至 {day}"),
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
        "Level lines mean no drift; the dashed line is the portrait itself. Press on a moment to watch it.",
        "曲线平稳表示没有偏离；虚线为原照片。点击图表可跳到该时刻。",
    ),
    "again": ("Make a part again", "重做一段"),
    "again_hint": (
        "Pause where it should begin. The seconds are made anew, as a film of its own beside this one.",
        "在需要重做的起点暂停。该段将重新生成，另存为一部新视频。",
    ),
    "from": ("from second", "从第几秒"),
    "to": ("to second", "到第几秒"),
    "again_go": ("Make it again", "重做"),
    "part": ("seconds {from} to {to} again", "重做第 {from} 至 {to} 秒"),
}

HEAD = '<link rel="stylesheet" href="ft/public/static/long_video.css">'
SCRIPT = 'import(new URL("ft/public/static/long_video.js", document.baseURI)).then((module) => module.start(element));'


def markup(texts: Texts) -> str:
    """Player, drift meter and the list; the script fills them."""
    words, why = (escape(json.dumps(tree, ensure_ascii=False), quote=True) for tree in (WORDS, CHINESE))
    return f"""
<section class="ft-long" data-words="{words}" data-why="{why}" data-state="none">
  <div class="ft-long-stage ft-video"><div class="empty"></div>
  <video playsinline controls preload="metadata" aria-label="FlashTalk"></video></div>
  <p class="ft-long-note" role="status" aria-live="polite"></p>
  <p class="ft-long-figures"></p>
  <div class="ft-long-detail" hidden></div>
  <h3>{texts.html("long.films")}</h3>
  <ul class="ft-long-list"></ul>
</section>"""
