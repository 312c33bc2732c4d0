"""Whether a film that was begun goes on with what it was begun with. Called by generate.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flashtalk.errors import InputError


def refuse_changed(before: Mapping[str, Any], now: Mapping[str, Any], film: str) -> None:
    """Raise InputError(resume_changed) if a film begun with `before` would go on with other inputs."""
    old, new = dict(_flat(before, "")), dict(_flat(now, ""))
    changed = [_difference(name, old, new) for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if changed:
        told = "\n".join(f"  - {line}" for line in changed[:8] + ["..."] * (len(changed) > 8))
        raise InputError(
            f"{film} was begun with other inputs:\n{told}\ngive the same again, or begin anew with --overwrite",
            code="resume_changed",
        )


def _difference(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name.endswith("_sha256"):
        return f"the {name.removesuffix('_sha256')} is another file"
    return f"{name} was {old.get(name)!r}, now it is {new.get(name)!r}"


def _flat(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Dotted names and values."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield path + name, value
