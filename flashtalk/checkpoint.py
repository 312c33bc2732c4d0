"""Weights on disk <-> weights in networks. Called by engine/build.py, convert.py and the training's export.

A checkpoint is a folder of safetensors files under the published names, with `manifest.json`: the size and SHA-256 of
each file and the revision they came from. Networks are built on meta and filled tensor by tensor, so that the weights
are never in memory twice. Nothing is loaded half: missing, extra and misshapen tensors are told in one table.
On a CPU a network reads its weights straight from the mapped file: replace such a file, never write into it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from flashtalk.config import CheckpointConfig
from flashtalk.config_file import CONFIG_ROOT
from flashtalk.errors import CheckpointError
from flashtalk.models.name_map import NameMap, Target, identity, identity_map
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
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A verified folder of weights."""

    folder: Path
    digest: str
    """SHA-256 of the manifest: names these weights."""
    revision: str | None
    listed: frozenset[str]
    """The files that the manifest vouches for, by their path in the folder."""

    def files(self, component: str) -> list[Path]:
        """The files of a component. Raises CheckpointError if there are none, or if they were never verified."""
        found = component_files(self.folder, component)
        if not found:
            told = f"{self.folder.name} holds no {COMPONENT_FILES[component]}.safetensors, the weights of {component}"
            raise CheckpointError(f"{told}; if it holds published .pth files, run `flashtalk convert` on it once")
        strange = [file.name for file in found if file.relative_to(self.folder).as_posix() not in self.listed]
        if strange:
            raise CheckpointError(
                f"{', '.join(strange)} in {self.folder.name} is not in its {MANIFEST}: remove it, or run "
                f"`flashtalk convert` again if it belongs there"
            )
        return found


def open_checkpoint(config: CheckpointConfig) -> Checkpoint:
    """Find (or download) the folder and check every file against its manifest. Raises CheckpointError."""
    assert config.source is not None, "no checkpoint to open"
    folder = local_folder(config.source) or _download(config.source, config.revision)
    try:
        manifest = read_manifest(folder)
        _verify(folder, manifest["files"], config.verify)
    except OSError as error:
        raise CheckpointError(f"{folder.name} cannot be read ({error.strerror}); see its rights and the disk") from None
    digest = hashlib.sha256(json.dumps(manifest["files"], sort_keys=True).encode()).hexdigest()
    return Checkpoint(folder, digest, manifest.get("revision"), frozenset(manifest["files"]))


def component_files(folder: Path, component: str) -> list[Path]:
    """The safetensors files of a component, none if it is not there. Raises CheckpointError for a damaged index."""
    stem = COMPONENT_FILES[component]
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        return [index.parent / Path(name).name for name in names]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CheckpointError(f"{index.name} is damaged; fetch it again") from None


def load_component(
    module: nn.Module, checkpoint: Checkpoint, component: str, device: torch.device, dtype_of: DtypeOf
) -> None:
    """Fill `module`, built on meta, from the files of `component`; `dtype_of(own name)` is how each is kept."""
    name_map, prefix = names_of(module)
    sources = published_shapes(checkpoint.files(component), prefix)
    check_names(component, module, (pair for names in sources.values() for pair in names.items()))
    for file, names in sources.items():
        with _open(file, device) as reader:
            for name in names:
                _place(module, reader.get_tensor(prefix + name), name_map[name], device, dtype_of)
    _check_complete(module, component)


def save_component(module: nn.Module, folder: Path, component: str) -> Path:
    """Write a network under its published names, for `load_component` and for other programs. Gives the file.

    The manifest is not touched: call `write_manifest` when all components are there. Raises CheckpointError.
    """
    name_map, prefix = names_of(module)
    file = folder / f"{COMPONENT_FILES[component]}.safetensors"
    write_tensors(file, {prefix + name: tensor for name, tensor in _pack(module.state_dict(), name_map)})
    return file


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


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file, whole or not at all. Tensors that share memory are written apart. Raises CheckpointError."""
    with _written_whole(file) as temporary:
        save_file(dict(_apart(tensors)), temporary, metadata={"format": "pt"})


def write_manifest(folder: Path, source: str, revision: str | None) -> Path:
    """Describe all files of `folder` (sizes, SHA-256, where from) in its manifest; hidden folders are left out."""
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.suffix in (".safetensors", ".json", ".model"))
    files = [name for name in names if name.name != MANIFEST and not any(part.startswith(".") for part in name.parts)]
    entries = {
        name.as_posix(): {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in files
    }
    manifest = {"format": 1, "source": source, "revision": revision, "files": entries}
    with _written_whole(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1) + "\n")
    return folder / MANIFEST


def read_manifest(folder: Path) -> dict:
    """The manifest of a folder: `source`, `revision`, and `files`: name -> bytes, sha256. Raises CheckpointError."""
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder.name} has no {MANIFEST}; `flashtalk convert` makes it of published files")
    try:
        tree = json.loads(path.read_text())
        files = {name: {"bytes": int(e["bytes"]), "sha256": str(e["sha256"])} for name, e in tree["files"].items()}
        return {**tree, "files": files}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CheckpointError(f"{folder.name}/{MANIFEST} is damaged; convert the checkpoint again") from None


def sha256(file: Path) -> str:
    """Hex digest of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def local_folder(source: str) -> Path | None:
    """The folder, seen from the working directory or beside configs/: what ships is found from anywhere."""
    return next((folder for folder in (Path(source), CONFIG_ROOT.parent / source) if folder.is_dir()), None)


def is_commit(revision: str | None) -> TypeGuard[str]:
    """Whether these are the 40 hex digits of one: what else names weights may change unseen."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision) is not None


def _download(source: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise CheckpointError(f"no folder '{source}', nor is that the id of a hub repository (owner/name)")
    if not is_commit(revision):
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


@contextmanager
def _written_whole(file: Path) -> Iterator[Path]:
    """A temporary name, renamed to `file` at the end: a kill leaves the old file or the new one."""
    temporary = file.with_name(f".{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(file)
    except (OSError, SafetensorError):
        problem = f"{file.name} cannot be written: no room on the disk, or no leave to write there"
        raise CheckpointError(problem) from None
    finally:
        temporary.unlink(missing_ok=True)


def _open(file: Path, device: torch.device) -> safe_open:
    try:
        return safe_open(file, framework="pt", device=str(device))
    except (SafetensorError, OSError):
        raise CheckpointError(f"{file.name} is missing, cut off or no safetensors file; fetch it again") from None


def published_shapes(files: list[Path], prefix: str) -> dict[Path, dict[str, Shape]]:
    """File -> published name (those with the prefix, without it) -> shape. Raises CheckpointError."""
    sources = {}
    for file in files:
        with _open(file, torch.device("cpu")) as reader:
            names = [name for name in reader.keys() if name.startswith(prefix)]  # noqa: SIM118  not a dict
            sources[file] = {n.removeprefix(prefix): tuple(reader.get_slice(n).get_shape()) for n in names}
    return sources


def check_names(component: str, module: nn.Module, published: Iterable[tuple[str, Shape]]) -> None:
    """Whether published names (without prefix) and shapes fill `module` exactly. Raises CheckpointError: one table."""
    name_map, _ = names_of(module)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = list(published)
    filled = Counter(target.name for name, _ in found for target in name_map.get(name, ()))
    rows = [f"missing  {name}  {shape}" for name, shape in shapes.items() if name not in filled]
    rows += [f"extra    {name}  {shape}" for name, shape in found if name not in name_map]
    rows += [f"twice    {name}" for name, count in filled.items() if count > 1]
    rows += list(_misshapen(found, name_map, shapes))
    if rows:
        raise CheckpointError(_table(f"the weights of {component} are of another model", rows))


def _misshapen(found: Iterable[tuple[str, Shape]], name_map: NameMap, shapes: Mapping[str, Shape]) -> Iterator[str]:
    for name, shape in found:
        for target in name_map.get(name, ()):
            if _picked_shape(target, shape) != shapes[target.name]:
                yield f"shape    {name}  is {shape}, the config wants {shapes[target.name]} for {target.name}"


def _picked_shape(target: Target, shape: Shape) -> Shape | None:
    try:
        return tuple(target.pick(torch.empty(shape, device="meta")).shape)
    except (IndexError, RuntimeError):
        return None


def _pack(state: Mapping[str, Tensor], name_map: NameMap) -> Iterator[tuple[str, Tensor]]:
    """Own tensors -> published ones: the inverse of a name map, each under the first of its spellings."""
    packed: set[str] = set()
    for name, targets in name_map.items():
        if targets and not packed & {target.name for target in targets}:
            packed |= {target.name for target in targets}
            yield name, _unpick(name, targets, [state[target.name] for target in targets])
    assert packed == set(state), f"{sorted(set(state) - packed)[:5]} have no published name"


def _unpick(name: str, targets: tuple[Target, ...], parts: list[Tensor]) -> Tensor:
    """The published tensor of which each target picks its part; found by trying what the published layouts do."""
    if len(parts) > 1:
        tries = [torch.cat(parts)]
    else:
        tries = [parts[0]] if targets[0].pick is identity else [parts[0][None, None], parts[0][None]]
    for tensor in tries:
        if all(torch.equal(target.pick(tensor), part) for target, part in zip(targets, parts, strict=True)):
            return tensor
    raise AssertionError(f"{name}: no published layout gives back its parts")


def _apart(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    seen = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        alone = tensor.is_contiguous() and storage.nbytes() == tensor.nbytes and storage.data_ptr() not in seen
        seen.add(storage.data_ptr())
        yield name, tensor if alone else tensor.clone(memory_format=torch.contiguous_format)


def _place(
    module: nn.Module, tensor: Tensor, targets: tuple[Target, ...], device: torch.device, dtype_of: DtypeOf
) -> None:
    for target in targets:
        assign(module, target.name, target.pick(tensor).to(device, dtype_of(target.name)).contiguous())


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
