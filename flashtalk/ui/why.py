"""Why something did not work, in Chinese, by the error's code; in English the error's own sentence says more.

Read by ui/mishaps.py for whoever asks, by ui/long_page.py for the list of films, and by ui/live/page.py.
"""

from __future__ import annotations

from flashtalk.errors import FlashTalkError
from flashtalk.media.speak import MOST_LETTERS

_INSIDE = "内部出错，请重试；若仍出现，请重新加载页面。"
_ENCODING = "无法生成视频文件，请重试。"
_GONE = "服务器正在关闭或重启，请稍后再试。"
_AGE = "此页面已过期，请重新加载。"

CHINESE: dict[str, str] = {
    # What was chosen
    "no_portrait": "请先选择人物：我们的示例、您的照片或摄像头拍照。",
    "no_voice": "请先选择声音：我们的示例、您的录音或输入的文字。",
    "upload_gone": "该文件已不存在（上传的文件只保留很短时间），请重新选择。",
    "upload_refused": "此服务器只在严格隔离下打开上传的文件，但其系统不支持；请联系管理员。",
    "upload_too_hard": "打开该文件需要太多时间或内存；请另存为普通格式，或换一个较小的文件。",
    "door_broken": "此服务器目前无法打开文件，请稍后再试。",
    "image_format": "不支持这种图片格式，请另存为 PNG、JPEG 或 WebP。",
    "image_limits": "图片的尺寸、长宽比或文件大小超出允许范围，请调整后再试。",
    "image_unreadable": "图片已损坏或不是图片，请另存为 PNG、JPEG 或 WebP。",
    "image_shape": "图片的尺寸不可用，请换一张。",
    "image_size": "图片的尺寸不可用，请换一张。",
    "portrait_size": "图片的尺寸不可用，请换一张。",
    "portrait_gone": "照片已删除，请重新选择或上传。",
    **dict.fromkeys(("audio_empty", "audio_too_short"), "声音是空的或太短，请重新录制或选择其他声音。"),
    "audio_format": "不支持这种声音，请使用 WAV、FLAC、MP3、M4A、Ogg、WebM 或 MP4。",
    "audio_limits": "声音太长、文件太大或声道太多；请剪短，或使用“长视频”。",
    "audio_no_stream": "该文件没有声音，请选择带音轨的文件。",
    "audio_unreadable": "声音文件已损坏或不是声音，请另存为 WAV、FLAC、MP3 或 M4A。",
    "microphone_silent": "没有收到麦克风的声音。请在地址栏旁允许使用麦克风，然后重新开始。",
    "text_empty": "没有可说的文字，请写一句话。",
    "text_long": f"文字太长：含汉字时最多 {MOST_LETTERS['zh']} 字，否则最多 {MOST_LETTERS['en']} 字；请缩短后再试。",
    "no_synthesiser": "无法将这段文字转为语音；请换用简单的文字，或录制、上传声音。",
    "project_damaged": "该项目文件已损坏或版本不同，请从完成的视频重新保存项目。",
    # Settings
    "config": "此设置不可用：画面尺寸、步数或其他数值超出允许范围，请换一种。",
    "input": "输入的内容不可用，请换一种。",
    "colour_strength": "色彩强度须在 0 到 1 之间。",
    "prompt": "提示词太长，请缩短。",
    "text_unicode": "提示词中有无效字符，请重新输入。",
    "picture_size": "此设置不能使用这个画面尺寸，请换一种尺寸。",
    "variant": "此版本的设置不可用：模型须在列表中，步数和种子为整数，色彩为 0 到 1。",
    "too_few_variants": "请至少启用两个版本。",
    "live_player": "没有这种播放方式，请重新加载页面。",
    "key_short": "密钥太短，至少八个字符。",
    "key_reused": "此密钥已用于另一部视频，请换一个。",
    "key_waiting": "使用此密钥的视频仍在生成，请稍后用同一密钥再试。",
    "span_range": "请填写两个时刻（秒），后者较晚，且在视频之内。",
    # The house
    "overloaded": "服务器正忙，没有空位；请稍后再试。",
    "calls_enough": "您或您所在网络同时进行的请求已达上限，请等其中一个完成。",
    "films_enough": "您或您所在网络等待或正在生成的视频已达上限；请等其中一部完成，或取消一部。",
    "films_kept": "您保存在此的视频已达上限；请先删除一部。",
    "door_busy": "同时打开的文件太多；请一分钟后再试。",
    **dict.fromkeys(("worker_lost", "rank_lost", "rank_missing"), "生成引擎多次中断，请稍后再试。"),
    "given_up": "生成引擎两次因此中断，已放弃；请换一张图片或其他设置，或再试一次。",
    **dict.fromkeys(("engine", "refused", "quantize_nothing", "quantize_size"), "生成引擎出错，请重试。"),
    "out_of_memory": "服务器内存不足，请换较小的画面尺寸，或稍后再试。",
    "session_closed": "本次生成已结束，请重新开始。",
    "closed": _GONE,
    "start": _GONE,
    "checkpoint": "服务器上的模型无法加载，请联系管理员。",
    "idle": "长时间没有动静，座位已让出；请重新开始。",
    "live_enough": "您或您所在网络同时进行的实时对话已达上限；请先结束其中一个，再重新开始。",
    "live_long": "这次对话已达到简易模式可保留的长度；请重新录音，开始新的对话。",
    "live_unwatched": "视频已不再观看，生成已停止。",
    "live_message": "页面已不匹配，请重新加载。",
    "token_refused": _AGE,
    "disk_full": "服务器磁盘空间不足；请稍后继续。",
    # Long films
    "session_model": "服务器上的模型已更换，请重新生成这部视频。",
    "encoder_changed": "服务器上的编码器已更换，请重新生成这部视频。",
    "job_damaged": "这部视频的文件已损坏，请重新生成。",
    "film_short": "引擎提前结束了这部视频，请再试一次。",
    "job_unknown": "没有这部视频；可能已到期删除。",
    # Faults of ours
    **dict.fromkeys(
        (
            *("error", "inside", "fault", "not_finite", "interrupt_range", "session_file", "audio_ahead"),
            *("audio_shape", "audio_not_finite", "samples_not_finite", "samples_shape", "frames_shape"),
        ),
        _INSIDE,
    ),
    **dict.fromkeys(
        (
            *("media_format", "empty_output", "encoder_missing", "encoding_failed", "state_damaged"),
            *("output_busy", "output_failed", "output_folder", "output_forbidden", "output_name"),
            *("part_damaged", "part_missing", "journal_damaged", "journal_version"),
        ),
        _ENCODING,
    ),
}


def chinese(error: FlashTalkError) -> str:
    """For an error of ours; by its kind if its code is not known here."""
    kinds = (kind.code for kind in type(error).__mro__ if issubclass(kind, FlashTalkError))
    return next(CHINESE[code] for code in (error.code, *kinds) if code in CHINESE)
