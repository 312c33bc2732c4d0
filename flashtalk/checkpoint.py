"""Weights on disk -> weights in networks. Called by engine/build.py; `flashtalk convert` makes what is read here.

A checkpoint is a folder of safetensors files under the published names, with `manifest.json`: the size and SHA-256 of
each file and the revision they came from. Networks are built on meta and filled tensor by tensor, so that the weights
are never in memory twice. Nothing is loaded half: missing, extra and misshapen tensors are told in one table.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from flashtalk.config import CheckpointConfig
from flashtalk.errors import CheckpointError
from flashtalk.models.name_map import NameMap, Target, identity_map
from flashtalk.ops.seeds import mixed_seed

MANIFEST = "manifest.json"
COMPONENT_FILES = {
    "dit": "diffusion_pytorch_model",
    "codec": "Wan2.1_VAE",
    "text_encoder": "models_t5_umt5-xxl-enc-bf16",
    "image_encoder": "models_clip_open-clip-xlm-roberta-large-vit-huge-14",
    "audio_encoder": "chinese-wav2vec2-base/model",
    "preview_codec": "taew2_1",
}
"""Component -> file in the checkpoint, without its ending. Large ones may be split, with an .index.json."""

ROWS_TOLD = 20

DtypeOf = Callable[[str], torch.dtype]


@dataclass(frozen=True)
class Checkpoint:
    """A verified folder of weights."""

    folder: Path
    digest: str
    """SHA-256 of the manifest: names these weights."""
    revision: str | None

    def files(self, component: str) -> list[Path]:
        """The files of a component. Raises CheckpointError if there are none."""
        stem = COMPONENT_FILES[component]
        whole, index = self.folder / f"{stem}.safetensors", self.folder / f"{stem}.safetensors.index.json"
        if whole.is_file():
            return [whole]
        if index.is_file():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            return [index.parent / name for name in names]
        raise CheckpointError(
            f"{self.folder.name} holds no {stem}.safetensors, the weights of {component}; if it holds published .pth "
            f"files, run `flashtalk convert` on it once"
        )


def open_checkpoint(config: CheckpointConfig) -> Checkpoint:
    """Find (or download) the folder and check every file against its manifest. Raises CheckpointError."""
    assert config.source is not None, "no checkpoint to open"
    folder = Path(config.source)
    if not folder.is_dir():
        folder = _download(config.source, config.revision)
    manifest = _read_manifest(folder)
    _verify(folder, manifest["files"], config.verify)
    digest = hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()
    return Checkpoint(folder, digest, manifest.get("revision"))


def load_component(
    module: nn.Module, checkpoint: Checkpoint, component: str, device: torch.device, dtype_of: DtypeOf
) -> None:
    """Fill `module`, built on meta, from the files of `component`; `dtype_of(own name)` is how each is kept."""
    name_map, prefix = names_of(module)
    sources = _sources(checkpoint.files(component), prefix)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    _check_names(component, sources, name_map, shapes)
    for file, names in sources.items():
        with _open(file, device) as reader:
            for name in names:
                _place(module, reader.get_tensor(prefix + name), name_map[name], device, dtype_of, shapes)
    _check_complete(module, component)


def init_component(module: nn.Module, seed: int, device: torch.device, dtype_of: DtypeOf) -> None:
    """Fill `module`, built on meta, with seeded random weights of sensible scale: for untrained models."""
    generator = torch.Generator(device)
    for name, meta in list(module.state_dict().items()):
        generator.manual_seed(mixed_seed(seed, name))
        assign(module, name, _random(name, meta.shape, generator, dtype_of(name)))
    _check_complete(module, "random weights")


def assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Make `tensor` the parameter or buffer `name` of `module`."""
    owner_name, _, leaf = name.rpartition(".")
    owner = module.get_submodule(owner_name)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def names_of(module: nn.Module) -> tuple[NameMap, str]:
    """The published names of a module's tensors and what stands before them in the file."""
    own_map = getattr(module, "name_map", None)
    return (own_map(), getattr(module, "PREFIX", "")) if callable(own_map) else (identity_map(module), "")


def write_manifest(folder: Path, source: str, revision: str | None) -> Path:
    """Describe all files of `folder` (sizes, SHA-256, where from) in its manifest."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in (".safetensors", ".json", ".model"))
    entries = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in files
        if file.name != MANIFEST
    }
    manifest = {"format": 1, "source": source, "revision": revision, "files": entries}
    path = folder / MANIFEST
    path.write_text(json.dumps(manifest, indent=1) + "\n")
    return path


def sha256(file: Path) -> str:
    """Hex digest of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(source: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise CheckpointError(f"no folder '{source}', nor is that the id of a hub repository (owner/name)")
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise CheckpointError(
            f"'{source}' on the hub needs checkpoint.revision, the 40 hex digits of a commit, so that weights cannot "
            f"change unseen; given: {revision}"
        )
    try:
        patterns = ["*.safetensors", "*.json", "*.model", "*.pth"]
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"could not fetch {source} at {revision[:12]}: {type(error).__name__}; check the network, or give a folder"
        ) from error


def _read_manifest(folder: Path) -> dict:
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder.name} has no {MANIFEST}; `flashtalk convert` makes it of published files")
    try:
        manifest = json.loads(path.read_text())
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise CheckpointError(f"{folder.name}/{MANIFEST} is damaged; convert the checkpoint again")
    return manifest


def _verify(folder: Path, files: Mapping[str, Mapping], how: str) -> None:
    bad = []
    for name, wanted in files.items():
        file = folder / name
        if not file.is_file():
            bad.append(f"{name}: missing")
        elif file.stat().st_size != wanted["bytes"]:
            bad.append(f"{name}: {file.stat().st_size} bytes, the manifest says {wanted['bytes']}")
        elif how == "sha256" and sha256(file) != wanted["sha256"]:
            bad.append(f"{name}: its SHA-256 is not the manifest's")
    if bad:
        raise CheckpointError(_table(f"{folder.name} does not match its manifest; fetch these files again", bad))


def _open(file: Path, device: torch.device) -> safe_open:
    try:
        return safe_open(file, framework="pt", device=str(device))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file.name} is not a readable safetensors file: {error}") from None


def _sources(files: list[Path], prefix: str) -> dict[Path, dict[str, tuple[int, ...]]]:
    """File -> published name (without the prefix) -> shape."""
    sources = {}
    for file in files:
        with _open(file, torch.device("cpu")) as reader:
            names = [name for name in reader.keys() if name.startswith(prefix)]  # noqa: SIM118  not a dict
            sources[file] = {n.removeprefix(prefix): tuple(reader.get_slice(n).get_shape()) for n in names}
    return sources


def _check_names(
    component: str,
    sources: Mapping[Path, Mapping[str, tuple[int, ...]]],
    name_map: NameMap,
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    found = {name: shape for names in sources.values() for name, shape in names.items()}
    filled = {target.name for name in found for target in name_map.get(name, ())}
    rows = [f"missing  {name}  {shape}" for name, shape in shapes.items() if name not in filled]
    rows += [f"extra    {name}  {shape}" for name, shape in found.items() if name not in name_map]
    rows += list(_misshapen(found, name_map, shapes))
    if rows:
        raise CheckpointError(_table(f"the weights of {component} are of another model", rows))


def _misshapen(
    found: Mapping[str, tuple[int, ...]], name_map: NameMap, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    for name, shape in found.items():
        for target in name_map.get(name, ()):
            given = tuple(target.pick(torch.empty(shape, device="meta")).shape)
            if given != shapes[target.name]:
                yield f"shape    {name}  is {given}, the config wants {shapes[target.name]}"


def _place(
    module: nn.Module,
    tensor: Tensor,
    targets: tuple[Target, ...],
    device: torch.device,
    dtype_of: DtypeOf,
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    for target in targets:
        part = target.pick(tensor).to(device, dtype_of(target.name)).contiguous()
        assert tuple(part.shape) == shapes[target.name], f"{target.name} {tuple(part.shape)}"
        assign(module, target.name, part)


def _check_complete(module: nn.Module, component: str) -> None:
    left = [name for name, t in (*module.named_parameters(), *module.named_buffers()) if t.is_meta]
    assert not left, f"{component}: {left[:5]} were never filled"


def _random(name: str, shape: torch.Size, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    leaf, wide = name.rpartition(".")[2], [n for n in shape if n > 1]
    if leaf == "bias":
        return torch.zeros(shape, device=generator.device, dtype=dtype)
    if leaf in ("gamma", "original0") or (leaf == "weight" and len(wide) <= 1):
        return torch.ones(shape, device=generator.device, dtype=dtype)
    fan_in = max(1, shape[1:].numel() if len(shape) > 1 else shape.numel())
    return torch.randn(shape, generator=generator, device=generator.device, dtype=dtype) / fan_in**0.5


def _table(title: str, rows: list[str]) -> str:
    more = [f"and {len(rows) - ROWS_TOLD} more"] if len(rows) > ROWS_TOLD else []
    return "\n".join([f"{title}:", *(f"  {row}" for row in (rows[:ROWS_TOLD] + more))])
