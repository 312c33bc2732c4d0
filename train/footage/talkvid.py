"""TalkVid's list (arXiv 2508.13618, CC BY-NC 4.0): one JSON file of records with links, times and scores. Called by
footage/read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from train.footage.records import FootageRecord, bad_record, first_of, number, numbers, read_json

LANGUAGES = {
    **{
        "english": "en",
        "chinese": "zh",
        "arabic": "ar",
        "polish": "pl",
        "german": "de",
        "russian": "ru",
        "french": "fr",
    },
    **{"korean": "ko", "portuguese": "pt", "japanese": "ja", "thai": "th", "spanish": "es", "italian": "it"},
    **{"hindi": "hi", "turkish": "tr", "dutch": "nl", "vietnamese": "vi", "indonesian": "id"},
}
_VIDEO = re.compile(r"(?:[?&]v=|youtu\.be/|/shorts/|/embed/)([\w-]{11})")
_KEY = re.compile(r"^(?:video)*([\w-]{11})-scene")


def read_talkvid(path: Path, problems: list[str] | None = None) -> Iterator[FootageRecord]:
    """Records of `path`: a list of them, one by itself, or a mapping of id to record.

    A record that cannot be understood raises InputError(record), or is told in `problems` and passed over.
    """
    tree = read_json(path)
    if isinstance(tree, Mapping):
        tree = [tree] if "start-time" in tree else [{"id": key, **value} for key, value in tree.items()]
    for entry in tree:
        try:
            yield _record(entry)
        except ValueError as error:
            raise bad_record(first_of(entry, ["id"]), str(error)) from error
        except Exception as error:
            if problems is None or getattr(error, "code", "") != "record":
                raise
            problems.append(str(error))


def _record(entry: Any) -> FootageRecord:
    key = str(first_of(entry, ("id",)) or "")
    info = first_of(entry, ("info",)) or {}
    start_s, end_s = number(first_of(entry, ("start_time",))), number(first_of(entry, ("end_time",)))
    if start_s is None or end_s is None:
        raise bad_record(key, "it has no start-time or end-time")
    video = _video(key, str(first_of(info, ("video_link",)) or ""))
    language = str(first_of(info, ("language",)) or "").lower()
    kept = {name: info[name] for name in ("Ethnicity", "Age Group", "Gender", "Video Category") if name in info}
    return FootageRecord(
        key=key,
        source="talkvid",
        video=video,
        subject=f"talkvid:{first_of(info, ('person_id',)) or video}",
        language=LANGUAGES.get(language, language),
        caption=str(first_of(entry, ("description",)) or "a person talks"),
        start_s=start_s,
        end_s=end_s,
        scores=numbers(entry),
        details=kept,
    )


def _video(key: str, link: str) -> str:
    """YouTube's id, from the link or from the record's own name."""
    found = _VIDEO.search(link) or _KEY.match(key)
    if found is None:
        raise bad_record(key, "neither its link nor its id names a video")
    return found.group(1)
