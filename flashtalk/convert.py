"""The published .pth and .bin files -> safetensors, once: `flashtalk convert`. Called by commands/convert.py.

The only file that opens pickles, and only as weights: torch refuses anything in them but tensors, so no code of theirs
runs. Everything is checked against the model before anything is written; the originals stay where they are.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from flashtalk.checkpoint import (
    COMPONENT_FILES,
    MANIFEST,
    check_names,
    component_files,
    names_of,
    published_shapes,
    read_manifest,
    write_manifest,
    write_tensors,
)
from flashtalk.config import ModelConfig
from flashtalk.errors import CheckpointError
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.models.text_encoder import load_tokenizer

Say = Callable[[str], None]

PUBLISHED_AS = {
    "dit": "diffusion_pytorch_model.safetensors",
    "audio_encoder": "chinese-wav2vec2-base/pytorch_model.bin",
}
"""The published file where it is not the converted one with .pth; the first may be in parts, with an index."""

OPTIONAL = ("preview_codec",)


@dataclass(frozen=True)
class ConvertedFile:
    """One file of weights as the manifest describes it; `made` of this published file, or None if it was there."""

    component: str
    name: str
    tensors: int
    bytes: int
    sha256: str
    made_of: str | None


@dataclass(frozen=True)
class ConvertReport:
    """What the folder holds now."""

    folder: Path
    files: tuple[ConvertedFile, ...]

    @property
    def bytes(self) -> int:
        """All weights together."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class _Part:
    """One component: what is there already (`done`), or the file to convert."""

    component: str
    module: nn.Module
    done: list[Path]
    published: Path | None


def convert_folder(
    folder: Path,
    model: ModelConfig,
    *,
    source: str = "",
    revision: str | None = None,
    say: Say = lambda _words: None,
) -> ConvertReport:
    """Make a checkpoint of a folder with published files, or check and describe one that is complete.

    `source` and `revision` say in the manifest where the files came from; what an older manifest says stays if they
    are not given. `say` hears what is going on. Running it again skips what is converted: to convert a file anew,
    remove its .safetensors. Raises CheckpointError; then the folder is as before, or as far as it came.
    """
    if not folder.is_dir():
        raise CheckpointError(f"no folder '{folder.name}'; give the one that holds the published files")
    parts = list(_parts(folder, model))
    _refuse_incomplete(folder, model, parts)
    for part in parts:
        say(f"checking {part.component}")
        check_names(part.component, part.module, _published_names(part))
    for part in parts:
        if part.published:
            say(f"converting {part.published.name}")
            _convert(part.published, part.module, folder / f"{COMPONENT_FILES[part.component]}.safetensors")
    say("computing checksums")
    before = read_manifest(folder) if (folder / MANIFEST).is_file() else {}
    write_manifest(folder, source or before.get("source", ""), revision or before.get("revision"))
    return ConvertReport(folder, tuple(_describe(folder, parts)))


def build_on_meta(component: str, model: ModelConfig) -> nn.Module | None:
    """A component without memory: names and shapes. None if the model has no such component."""
    return dict(named_modules(build_models_on_meta(model, preview=True))).get(component)


def load_plain_weights(file: Path) -> dict[str, Tensor]:
    """Name -> tensor of a pickled file of weights, mapped and not read where the format allows it.

    Raises CheckpointError if there is anything but tensors in it, or if it is damaged.
    """
    try:
        # Files of before torch 1.6 are no zip archives and cannot be mapped.
        weights = torch.load(file, map_location="cpu", mmap=zipfile.is_zipfile(file), weights_only=True)
    except Exception:  # a damaged pickle makes its reader raise nearly anything
        raise CheckpointError(
            f"{file.name} is not a plain weights file, and nothing in it was executed: it is cut off or damaged, or it "
            f"holds code beside tensors. Fetch it again from where the model is published"
        ) from None
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise CheckpointError(f"{file.name} is not a plain weights file: it must hold named tensors and nothing else")
    return {str(name): tensor.detach() for name, tensor in weights.items()}


def _parts(folder: Path, model: ModelConfig) -> Iterator[_Part]:
    for component in COMPONENT_FILES:
        module = build_on_meta(component, model)
        if module is None:
            continue
        done = component_files(folder, component)
        published = None if done else _find(folder, _published_name(component))
        if done or published or component not in OPTIONAL:
            yield _Part(component, module, done, published)


def _published_name(component: str) -> str:
    return PUBLISHED_AS.get(component, f"{COMPONENT_FILES[component]}.pth")


def _find(folder: Path, name: str) -> Path | None:
    """In the folder, or beside it: the audio encoder is published as a repository of its own."""
    places = (folder / name, folder.resolve().parent / name) if "/" in name else (folder / name,)
    return next((place for place in places if place.is_file()), None)


def _refuse_incomplete(folder: Path, model: ModelConfig, parts: list[_Part]) -> None:
    missing = [
        f"  {part.component}: {_published_name(part.component)}"
        for part in parts
        if not part.done and not part.published
    ]
    if missing:
        told = "\n".join(missing)
        raise CheckpointError(f"{folder.name} is not a complete {model.name}; fetch these first:\n{told}")
    load_tokenizer(model.text_encoder, folder)


def _published_names(part: _Part) -> Iterator[tuple[str, tuple[int, ...]]]:
    _, prefix = names_of(part.module)
    if part.published is None:
        return chain.from_iterable(names.items() for names in published_shapes(part.done, prefix).values())
    weights = _with_prefix(load_plain_weights(part.published), prefix)
    return ((name.removeprefix(prefix), tuple(tensor.shape)) for name, tensor in weights.items())


def _convert(published: Path, module: nn.Module, target: Path) -> None:
    write_tensors(target, _with_prefix(load_plain_weights(published), names_of(module)[1]))


def _with_prefix(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Without other networks in the same file, such as the text tower beside the image tower."""
    return {name: tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _describe(folder: Path, parts: list[_Part]) -> Iterator[ConvertedFile]:
    manifest = read_manifest(folder)["files"]
    for part in parts:
        made_of = part.published.name if part.published else None
        for file, tensors in published_shapes(component_files(folder, part.component), "").items():
            name = file.relative_to(folder).as_posix()
            entry = manifest[name]
            yield ConvertedFile(part.component, name, len(tensors), entry["bytes"], entry["sha256"], made_of)
