"""SpeakerVid-5M's folders (arXiv 2507.09862, non-commercial): lists of clips, and one JSON a clip in each annotation
folder. Called by footage/read.

Names of some fields are not documented: those known from the paper and the card are tried in turn, and a record without
times raises a typed error that says which file to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flashtalk.errors import InputError
from train.footage.records import FootageRecord, bad_record, box_of, first_of, number, numbers, read_json

ALL, SFT = "all_data_list.json", "SFT_set.json"
FOLDERS = ("merge_anno", "asr", "l_score", "anno")
LISTENING = ("listening", "listener")

_CLIP = ("clip_name", "clip", "name", "clip_id", "file_name")
_VIDEO = ("youtube_id", "yt_id", "ytid", "video_id", "video", "id")
_START, _END = ("start_time", "start", "start_s", "clip_start"), ("end_time", "end", "end_s", "clip_end")
_SPAN = ("timestamp", "timestamps", "time", "time_range", "clip_time")
_BOX = ("bbox", "person_bbox", "box", "body_bbox", "crop")
_SPEAKER = ("speaker_id", "speaker", "person_id", "identity", "id_name")
_TEXT = ("text", "transcript", "asr_text")
_LANGUAGE = ("language", "lang")
_CAPTION = ("caption", "description", "short_caption", "video_caption", "overall_description")
_BRANCH = ("branch", "type", "interaction_type")


def read_speakervid(folder: Path, *, sft: bool = False, problems: list[str] | None = None) -> Iterator[FootageRecord]:
    """Records of the whole list, or of the SFT subset; clips of the listening branch are left out, because what is
    heard there is said by somebody else.

    A record that cannot be understood raises InputError(record), or is told in `problems` and passed over.
    """
    videos = dict(_pairs(read_json(folder / ALL)))
    names = [name for name, _ in _pairs(read_json(folder / SFT))] if sft else list(videos)
    for name in names:
        try:
            record = _record(folder, name, videos.get(name, ""))
        except InputError as error:
            if problems is None or error.code not in ("record", "footage_list"):
                raise
            problems.append(str(error))
            continue
        if str(record.details.get("branch", "")).lower() not in LISTENING:
            yield record


def _pairs(tree: object) -> Iterator[tuple[str, str]]:
    """(clip, video) from a list of names, of pairs (video, clip) or of mappings, or a mapping of video to clips."""
    if isinstance(tree, Mapping):
        for video, clips in tree.items():
            for clip in [clips] if isinstance(clips, str | Mapping) else clips:
                yield _name(clip), str(video)
        return
    if not isinstance(tree, list):
        raise InputError("the list of clips is neither a list nor a mapping; download it again", code="footage_list")
    for entry in tree:
        if isinstance(entry, list | tuple) and len(entry) == 2:
            yield _name(entry[1]), str(entry[0])
        else:
            yield _name(entry), str(first_of(entry, _VIDEO) or "")


def _name(entry: object) -> str:
    name = entry if isinstance(entry, str) else first_of(entry, _CLIP)
    if not isinstance(name, str) or not name:
        raise bad_record(entry, "it names no clip")
    return Path(name).stem if name.endswith((".mp4", ".json")) else name


def _record(folder: Path, name: str, video: str) -> FootageRecord:
    if "/" in name or name.startswith("."):
        raise bad_record(name, "its name cannot be a file's name")
    main, asr, blur, seen = (_annotation(folder / kind / f"{name}.json") for kind in FOLDERS)
    start_s, end_s = _times(main)
    if start_s is None or end_s is None:
        raise bad_record(name, f"no times in merge_anno/{name}.json (looked for {', '.join((*_SPAN, *_START))})")
    video = video or str(first_of(main, _VIDEO) or name)
    speaker = first_of(main, _SPEAKER)
    return FootageRecord(
        key=name,
        source="speakervid",
        video=video,
        subject=f"speakervid:{video if speaker is None else speaker}",
        language=str(first_of(asr, _LANGUAGE) or "").lower(),
        caption=str(first_of(seen, _CAPTION) or "a person talks"),
        start_s=start_s,
        end_s=end_s,
        box=box_of(first_of(main, _BOX)),
        scores=numbers(main) | numbers(asr, "asr.") | numbers(blur, "blur.") | numbers(seen, "seen."),
        details={"text": str(first_of(asr, _TEXT) or ""), "branch": str(first_of(main, _BRANCH) or "")},
    )


def _annotation(path: Path) -> Any:
    """What a folder says of a clip; nothing if it says nothing."""
    tree = read_json(path) if path.exists() else {}
    return tree[0] if isinstance(tree, list) and tree else tree


def _times(main: Any) -> tuple[float | None, float | None]:
    span = first_of(main, _SPAN)
    if isinstance(span, Mapping):
        return number(first_of(span, _START)), number(first_of(span, _END))
    if isinstance(span, list) and len(span) == 2:
        return number(span[0]), number(span[1])
    return number(first_of(main, _START)), number(first_of(main, _END))
