"""Where a config's weights are, without reading them. Used by models.py and doctor.py."""

from __future__ import annotations

from dataclasses import dataclass

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from flashtalk.checkpoint import MANIFEST, is_commit, local_folder
from flashtalk.config import CheckpointConfig


@dataclass(frozen=True)
class Weights:
    """`missing`: a run would fail (what a run would download is not missing). `words` tell people."""

    missing: bool
    words: str


def find_weights(config: CheckpointConfig) -> Weights:
    """Whether the weights that a config names are on this machine. Nothing is downloaded, and no file is verified."""
    if config.source is None:
        return Weights(False, "none named: random, untrained")
    folder = local_folder(config.source)
    if folder is None:
        return _on_hub(config.source, config.revision)
    if (folder / MANIFEST).is_file():
        return Weights(False, f"in {config.source}")
    return Weights(True, f"{config.source} has no {MANIFEST}; run `flashtalk convert` on it")


def _on_hub(source: str, revision: str | None) -> Weights:
    try:
        cached = try_to_load_from_cache(source, MANIFEST, revision=revision)
    except HFValidationError:
        return Weights(True, f"no folder {source}")
    if not is_commit(revision):
        return Weights(True, f"{source} on the hub needs checkpoint.revision, the 40 hex digits of a commit")
    if isinstance(cached, str):
        return Weights(False, f"{source} at {revision}, downloaded")
    return Weights(False, f"{source} at {revision}: not here; the first run downloads it")
