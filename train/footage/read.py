"""Records and the files that a user downloaded for them -> training clips, or the reason why not. Called by
footage/write, and by whoever reads footage without shards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flashtalk.errors import InputError
from flashtalk.media.face import find_face
from train.buckets import Bucket, fit_frames, place
from train.clip import FPS, Clip, Frames
from train.footage.film import FilmInfo, Window, probe, read_frames, read_sound
from train.footage.filters import Limits, measure, typical_face
from train.footage.records import FootageRecord

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov")
_SAME_PX = 8
"""A file is already cropped to its box if its size differs by no more than this."""


@dataclass(frozen=True)
class MediaFolder:
    """Files by name without suffix: one cut clip named like its record, or a whole video named like its video."""

    files: Mapping[str, Path]

    @classmethod
    def scan(cls, folder: Path) -> MediaFolder:
        """All films below a folder. Raises InputError(footage_folder)."""
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; give the one with the downloaded videos", code="footage_folder")
        found = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
        return cls({path.stem: path for path in found})

    def find(self, record: FootageRecord) -> tuple[Path, bool]:
        """(file, whether it holds this clip alone). Raises InputError(footage_file)."""
        for name, alone in ((record.key, True), (record.video, False)):
            if name in self.files:
                return self.files[name], alone
        message = f"no file is named {record.key} or {record.video}; download it, or leave the record out"
        raise InputError(message, code="footage_file")


@dataclass(frozen=True)
class FootageReader:
    """Makes clips of at most `most_s` seconds in the sizes of `buckets`. splits: key -> split, see footage/splits."""

    media: MediaFolder
    splits: Mapping[str, str]
    buckets: tuple[Bucket, ...]
    limits: Limits = field(default_factory=Limits)
    most_s: float = 12.0
    looks: int = 8
    """Frames in which faces are searched before the crop, and again in the finished clip."""

    def read(self, record: FootageRecord) -> Clip:
        """One clip. Raises InputError whose code says why it is left out (see film, buckets, filters)."""
        path, window = self._window(record)
        frames_FHWC = self._frames(path, window)
        samples = read_sound(path, window)
        faces = [find_face(frames_FHWC[at]) for at in _spread(window.frames, self.looks)]
        measured = measure(frames_FHWC, samples, faces)
        measured.check(self.limits)
        known = {"video": record.video, "start_s": record.start_s, "scores": dict(record.scores)}
        return Clip(
            key=record.key,
            frames_FHWC=frames_FHWC,
            samples=samples,
            poses_FP=None,
            caption=record.caption,
            subject=record.subject,
            voice=record.subject,
            language=record.language,
            split=self.splits[record.key],
            source=record.source,
            details=known | dict(record.details) | {"measured": measured.to_json()},
        )

    def _window(self, record: FootageRecord) -> tuple[Path, Window]:
        path, alone = self.media.find(record)
        info = probe(path)
        if abs(info.picture_s - info.sound_s) > self.limits.most_length_difference_s:
            message = f"{path.name} has {info.picture_s:.2f} s of picture and {info.sound_s:.2f} s of sound"
            raise InputError(f"{message}; download it again", code="film_lengths")
        start_s = info.start_s if alone else record.start_s
        left_s = min(record.end_s - record.start_s, info.start_s + info.picture_s - start_s, self.most_s)
        count = int(left_s * FPS + 1e-6)
        if count < self.limits.least_frames:
            message = f"{record.key} has {max(0, count)} frames at {FPS} fps; {self.limits.least_frames} are needed"
            raise InputError(message, code="film_short")
        return path, Window(start_s, count, _crop(record, info, alone=alone))

    def _frames(self, path: Path, window: Window) -> Frames:
        """Cropped around the typical face and at the bucket's size; two passes, so that memory stays small."""
        looks = set(_spread(window.frames, self.looks))
        looked = [frame for at, frame in enumerate(read_frames(path, window)) if at in looks]
        faces = [face for face in map(find_face, looked) if face is not None]
        if not faces:
            raise InputError(f"clip left out: no face was found in {path.name}", code="face_count")
        height, width = looked[0].shape[:2]
        placement = place(self.buckets, height, width, typical_face(faces))
        return np.concatenate([fit_frames(frame[None], placement) for frame in read_frames(path, window)])


def _crop(record: FootageRecord, info: FilmInfo, *, alone: bool) -> tuple[int, int, int, int] | None:
    """The record's box, unless the file is that part of the picture already."""
    box = record.box
    if box is None:
        return None
    same = abs(box.right - box.left - info.width) <= _SAME_PX and abs(box.bottom - box.top - info.height) <= _SAME_PX
    return None if alone and same else box.pixels(info.height, info.width)


def _spread(count: int, looks: int) -> list[int]:
    """So many places from the first to the last frame."""
    return sorted({round(at) for at in np.linspace(0, count - 1, looks)})
