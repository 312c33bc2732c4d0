"""How a request is refused before anything was done for it, a sentence that pages and programs can show and whoever
asks can read; and what it asks of Gradio, however its path is written.

Called by ui/guard.py and ui/shutters.py, which stand before every route.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from flashtalk.ui import house
from flashtalk.ui.texts import LANGUAGES, Pair, language_of

_UNUSABLE = 422
_CALL = "/gradio_api/queue/join"
_CLIENT = "gradio_client/"
_GRADIO = re.compile(r"/(?:gradio_api/|file[=/]|monitoring)")

WORDS: dict[str, Pair] = {
    "Too many requests from your address.*": (
        "Too many requests from your address; wait a minute.",
        "您的地址请求过多，请稍等一分钟。",
    ),
    "Too many wrong passwords.*": (
        "Too many wrong passwords from your address; wait a minute.",
        "您的地址密码错误次数过多，请稍等一分钟。",
    ),
    "The server has no room for this file.*": (
        "The server has no room for this file just now; try a smaller one, or later.",
        "服务器目前没有空间存放该文件，请换一个较小的文件，或稍后再试。",
    ),
    "The file is too long; give one of {} MiB at most.": (
        "This file is too large; {} MiB is the most. Choose a smaller one.",
        "文件太大，最大为 {} MiB，请换一个较小的文件。",
    ),
    "Too many uploads from your address are under way.*": (
        "Too many uploads from your address are under way; wait for one of them.",
        "您的地址正在上传的文件太多，请等其中一个完成。",
    ),
    "Your address brought very much lately.*": (
        "Your address brought very much lately; try again in a quarter of an hour.",
        "您的网络最近上传的内容过多，请十五分钟后再试。",
    ),
    "This came too slowly.*": ("The connection is too slow; try again.", "连接太慢，请重试。"),
    "Log in first.": house.TEXTS["house.locked"],
    "Another site sent this.*": ("Another site sent this; open the page itself.", "请求来自其他网站，请打开本页面。"),
    "Files are taken as uploads only.*": ("Only uploaded files are taken.", "只接受上传的文件，不接受网址。"),
    "The picture is SVG.*": (
        "The picture is SVG, which is not supported; save it as PNG, JPEG or WebP.",
        "不支持 SVG 图片，请另存为 PNG、JPEG 或 WebP。",
    ),
    "There is no such file.*": ("This file is not there any more; choose it again.", "该文件已不存在，请重新选择。"),
    "There is nothing here.": ("There is nothing here; load the page again.", "此处没有内容，请重新加载页面。"),
    "Say how long the file is.": ("The file did not arrive whole; choose it again.", "文件未完整送达，请重新选择。"),
    "The request broke off.": ("The connection broke; try again.", "连接中断，请重试。"),
    "This request .*": ("That is too much at once; try with less.", "一次发送的内容太多，请减少后再试。"),
    "This is no JSON.": ("The page sent something odd; load it again.", "页面发送的内容有误，请重新加载。"),
    "This has half of a character in it.": (
        "A character of the text is broken; write it again.",
        "文字中有一个字符不完整，请重新输入。",
    ),
    "There is no such (function|call).*": ("This page is too old; load it again.", "此页面已过期，请重新加载。"),
    "(There is no endpoint|This call) .*": (
        "The page sent something odd; load it again.",
        "页面发送的内容有误，请重新加载。",
    ),
    "There is no such session.": ("This page is too old; load it again.", "此页面已过期，请重新加载。"),
}
"""Of all refusals (patterns, {} stands for anything): what the page says for them in English, and their Chinese."""


def asked_route(path: str) -> str:
    """A path from Gradio's part on: behind a proxy Gradio also answers below its root path, once or twice."""
    found = _GRADIO.search(path)
    return path[found.start() :] if found else path


def is_foreign(asked: HTTPConnection) -> bool:
    """Whether a page of another site sends it, one at another port or name of the same machine included.

    Over plain http browsers tell only where the page is from, if at all; programs tell nothing and are let through.
    """
    told = asked.headers
    site, origin = told.get("sec-fetch-site"), told.get("origin", told.get("referer"))
    return origin is not None and not is_ours(asked, origin) if site is None else site not in ("same-origin", "none")


def is_ours(asked: HTTPConnection, origin: str) -> bool:
    """Whether a page from there is one of those that this request goes to."""
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return False
    # The second is what proxies write that ask under a name of their own.
    return place in (asked.headers.get("host"), asked.headers.get("x-forwarded-host"))


def translated(asked: HTTPConnection, words: str) -> str:
    """`words` (English, known in WORDS) in the language of whoever asks."""
    if language_of(asked) == LANGUAGES[0]:
        return words
    for pattern, (_, chinese) in WORDS.items():
        found = re.fullmatch(pattern.replace("{}", "(.+)"), words, re.DOTALL)
        if found:
            return chinese.replace("{}", found[1]) if "{}" in chinese else chinese
    return words


def refused(asked: HTTPConnection, status: int, words: str) -> JSONResponse:
    """`words` (English, known in WORDS) as Gradio's page (error, detail) and its client for Python read them.

    That client shows a sentence for 422 only, and of calls only; so this is what its calls get in place of `status`.
    """
    words = translated(asked, words)
    is_clients = asked.headers.get("user-agent", "").startswith(_CLIENT)
    if is_clients and asked_route(str(asked.scope["path"])) == _CALL:
        status = _UNUSABLE
    told = [{"__type__": "validate", "is_valid": False, "parameter_name": "request", "message": words}]
    body = {"error": words, "detail": told if status == _UNUSABLE else words}
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store"})
