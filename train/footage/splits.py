"""Training, validation and test for real footage: no speaker and no video is in two of them. Called by footage/read."""

from __future__ import annotations

from collections.abc import Iterable

from flashtalk.ops.seeds import mixed_seed
from train.footage.records import FootageRecord

HELD_OUT = 0.02
"""Of the groups, for validation and as much again for test."""


def split_records(records: Iterable[FootageRecord], seed: int = 0) -> dict[str, str]:
    """Key -> train, validation or test. Records that share a speaker or a video, also through others, stay together.

    A group is placed by its smallest name, so that more records leave most others where they were.
    """
    records = list(records)
    parents: dict[str, str] = {}
    for record in records:
        speaker, video = (_root(parents, name) for name in (f"speaker {record.subject}", f"video {record.video}"))
        parents[max(speaker, video)] = min(speaker, video)
    return {record.key: _place(_root(parents, f"video {record.video}"), seed) for record in records}


def _root(parents: dict[str, str], name: str) -> str:
    parents.setdefault(name, name)
    while parents[name] != name:
        parents[name] = name = parents[parents[name]]
    return name


def _place(group: str, seed: int) -> str:
    share = mixed_seed(seed, group) / 2**63
    if share < HELD_OUT:
        return "test"
    return "validation" if share < 2 * HELD_OUT else "train"
