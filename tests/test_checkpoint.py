"""Weights on disk: tensors arrive bit for bit, nothing half, changed or unverified is taken, memory holds one copy."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import nn

from flashtalk import checkpoint as loader
from flashtalk.checkpoint import (
    COMPONENT_FILES,
    MANIFEST,
    Checkpoint,
    check_names,
    component_files,
    load_component,
    open_checkpoint,
    save_component,
    write_manifest,
)
from flashtalk.config import CheckpointConfig, Config
from flashtalk.config_file import load_model_config, replace, to_tree
from flashtalk.engine.build import build_networks, from_pretrained
from flashtalk.errors import CheckpointError
from flashtalk.models.build import build_models_on_meta
from tests.peak_memory import peak_memory
from tests.published_files import DIT, assert_same, drawn, with_weights, write_shards

CPU = torch.device("cpu")
VECTORS = Path(__file__).resolve().parent / "vectors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def save(config: Config, folder: Path) -> Any:
    """The networks of `config` with random weights, saved in `folder` and described."""
    networks = drawn(config)
    for component, module in networks.modules():
        save_component(module, folder, component)
    write_manifest(folder, "here", None)
    return networks


@pytest.fixture
def saved(tiny_config: Config, tmp_path: Path) -> tuple[Config, Path]:
    save(tiny_config, tmp_path / "model")
    return with_weights(tiny_config, tmp_path / "model"), tmp_path / "model"


def refused(config: Config) -> str:
    """What is said on loading; never a path of this machine."""
    with pytest.raises(CheckpointError) as caught:
        build_networks(config)
    source = config.checkpoint.source
    assert source is not None
    assert str(Path(source).parent) not in str(caught.value)
    return str(caught.value)


# Everything arrives.


@pytest.mark.parametrize("name", ["tiny_config", "tiny_wan_config"])
def test_what_is_saved_is_loaded(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    config: Config = request.getfixturevalue(name)
    networks = save(config, tmp_path)
    loaded = build_networks(with_weights(config, tmp_path))
    assert_same(loaded, networks)
    assert not any(p.requires_grad for _, module in loaded.modules() for p in module.parameters())
    assert loaded.fingerprint != networks.fingerprint


def test_saved_files_have_the_published_names_and_shapes(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    width = config.model.image_encoder.dim
    clip = {name: tuple(t.shape) for name, t in load_file(_file(folder, "image_encoder")).items()}
    assert clip["visual.cls_embedding"] == (1, 1, width)
    assert clip["visual.pos_embedding"] == (1, 5, width)
    assert clip["visual.transformer.0.attn.to_qkv.weight"] == (3 * width, width)
    assert "token_embedding.weight" in load_file(_file(folder, "text_encoder"))
    assert "encoder.pos_conv_embed.conv.weight_g" in load_file(_file(folder, "audio_encoder"))


def test_shards_are_loaded_like_one_file(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    whole = build_networks(config)
    weights = {name: tensor.clone() for name, tensor in whole.dit.state_dict().items()}
    _file(folder, "dit").unlink()
    write_shards(weights, folder, 3)
    write_manifest(folder, "here", None)
    assert_same(build_networks(config), whole)


def test_weights_take_the_precision_that_each_wants(saved: tuple[Config, Path]) -> None:
    networks = build_networks(replace(saved[0], {"runtime.dtype": "bfloat16"}))
    kinds = {name: tensor.dtype for name, tensor in networks.dit.state_dict().items()}
    exact = {name for name, dtype in kinds.items() if dtype == torch.float32}
    assert exact == {name for name in kinds if name.startswith("time_") or name.endswith("modulation")}
    assert {t.dtype for t in networks.audio_encoder.state_dict().values()} == {torch.float32}
    assert {t.dtype for t in networks.text_encoder.state_dict().values()} == {torch.bfloat16}


@pytest.mark.parametrize(("component", "vector"), [("dit", "dit"), ("codec", "vae")])
def test_the_published_sizes_have_the_published_names(component: str, vector: str) -> None:
    """The encoders' are in tests/models/test_encoders.py."""
    manifest = json.loads((VECTORS / "published_networks.json").read_text())[vector]
    published = {
        name.format(layer=layer): tuple(shape)
        for name, shape in manifest["shapes"].items()
        for layer in range(manifest["layers"] if "{layer}" in name else 1)
    }
    module = build_models_on_meta(load_model_config("flashtalk-14b"))[component]
    assert {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()} == published
    check_names(component, module, published.items())


class Wide(nn.Module):
    """200 MB in 50 tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(1000, 1000, bias=False) for _ in range(50)])


def test_weights_are_never_in_memory_twice(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = Wide()
    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    file = tmp_path / f"{DIT}.safetensors"
    save_file({name: torch.ones(tensor.shape) for name, tensor in module.state_dict().items()}, file)
    folder = Checkpoint(tmp_path, "", None, frozenset([file.name]))
    with peak_memory() as peak:
        load_component(module, folder, "dit", CPU, lambda _name: torch.float32)
        total = sum(float(tensor.sum()) for tensor in module.state_dict().values())
    assert total == size / 4
    assert 0.9 * size < peak[0] < 1.3 * size


# Nothing is taken that is not this model.


def test_all_that_is_wrong_is_told_in_one_table(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    weights = load_file(_file(folder, "codec"))
    first, second, *_ = weights
    wrong = {name: tensor for name, tensor in weights.items() if name != first}
    wrong |= {second: torch.zeros(2, 3), "stranger.weight": torch.zeros(4)}
    save_file(wrong, _file(folder, "codec"))
    write_manifest(folder, "here", None)
    told = refused(config)
    assert told.startswith("the weights of codec are of another model:\n")
    assert f"missing  {first}  {tuple(weights[first].shape)}" in told
    assert "extra    stranger.weight  (4,)" in told
    assert f"shape    {second}  is (2, 3), the config wants {tuple(weights[second].shape)}" in told
    assert len(told.splitlines()) == 4


def test_a_wrong_network_is_left_untouched(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    file = _file(folder, "dit")
    weights = load_file(file)
    save_file({name: tensor for name, tensor in weights.items() if name != "head.head.bias"}, file)
    module = build_models_on_meta(config.model)["dit"]
    checkpoint = Checkpoint(folder, "", None, frozenset([file.name]))
    with pytest.raises(CheckpointError, match=r"missing  head\.head\.bias"):
        load_component(module, checkpoint, "dit", CPU, lambda _name: torch.float32)
    assert all(tensor.is_meta for tensor in module.state_dict().values())


def test_long_tables_are_cut(tiny_config: Config) -> None:
    module = build_models_on_meta(tiny_config.model)["dit"]
    with pytest.raises(CheckpointError) as caught:
        check_names("dit", module, [])
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + loader.ROWS_TOLD + 1
    assert lines[-1] == f"  and {len(module.state_dict()) - loader.ROWS_TOLD} more"


def test_a_tensor_in_two_spellings_or_shards_is_refused(tiny_config: Config) -> None:
    audio = build_models_on_meta(tiny_config.model)["audio_encoder"]
    pairs = [(name, tuple(tensor.shape)) for name, tensor in audio.state_dict().items()]
    check_names("audio_encoder", audio, pairs)
    name, shape = pairs[0]
    with pytest.raises(CheckpointError, match=f"twice    {name}"):
        check_names("audio_encoder", audio, [*pairs, ("wav2vec2." + name, shape)])


def test_shapes_that_cannot_be_taken_apart_are_told(tiny_config: Config) -> None:
    image = build_models_on_meta(tiny_config.model)["image_encoder"]
    with pytest.raises(CheckpointError, match=r"shape    transformer\.0\.attn\.to_qkv\.bias  is \(\)"):
        check_names("image_encoder", image, [("transformer.0.attn.to_qkv.bias", ())])


# Nothing is taken that the manifest does not vouch for.


def test_changed_files_are_refused(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    file = _file(folder, "dit")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert f"{file.name}: its SHA-256 is not the manifest's" in refused(config)
    build_networks(replace(config, {"checkpoint.verify": "size"}))
    file.write_bytes(data[:-4])
    size_only = replace(config, {"checkpoint.verify": "size"})
    assert f"{file.name}: {len(data) - 4} bytes, the manifest says {len(data)}" in refused(size_only)
    file.unlink()
    assert f"{file.name}: missing" in refused(config)


def test_a_file_that_cannot_be_read_is_told(saved: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: Path) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/secret/weights")

    monkeypatch.setattr(loader, "sha256", refuse)
    assert refused(saved[0]) == "model cannot be read (Permission denied); see its rights and the disk"


def test_a_file_that_the_manifest_does_not_list_is_refused(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"][f"{DIT}.safetensors"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert f"{DIT}.safetensors in model is not in its manifest.json" in refused(config)


def test_without_a_manifest(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    (folder / MANIFEST).unlink()
    assert refused(config) == "model has no manifest.json; `flashtalk convert` makes it of published files"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"files": []}', '{"files": {"a": {"bytes": "x", "sha256": 1}}}']
)
def test_a_damaged_manifest(saved: tuple[Config, Path], text: str) -> None:
    config, folder = saved
    (folder / MANIFEST).write_text(text)
    assert "manifest.json is damaged" in refused(config)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": {"a": 1}}'])
def test_a_damaged_index(saved: tuple[Config, Path], text: str) -> None:
    config, folder = saved
    _file(folder, "dit").unlink()
    (folder / f"{DIT}.safetensors.index.json").write_text(text)
    write_manifest(folder, "here", None)
    assert refused(config) == f"{DIT}.safetensors.index.json is damaged; fetch it again"


def test_an_index_reaches_no_other_folder(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    _file(folder, "dit").rename(folder.parent / "elsewhere.safetensors")
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (folder / f"{DIT}.safetensors.index.json").write_text(json.dumps(index))
    write_manifest(folder, "here", None)
    assert component_files(folder, "dit") == [folder / "elsewhere.safetensors"]
    assert "elsewhere.safetensors in model is not in its manifest.json" in refused(config)


def test_a_file_cut_off_before_it_was_described(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    file = _file(folder, "codec")
    file.write_bytes(file.read_bytes()[:-100])
    write_manifest(folder, "here", None)
    assert refused(config) == f"{file.name} is missing, cut off or no safetensors file; fetch it again"


def test_a_missing_component(saved: tuple[Config, Path]) -> None:
    config, folder = saved
    _file(folder, "audio_encoder").unlink()
    write_manifest(folder, "here", None)
    assert "model holds no chinese-wav2vec2-base/model.safetensors, the weights of audio_encoder" in refused(config)


# Writing.


def test_a_failed_write_leaves_the_old_file(saved: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = saved
    file = _file(folder, "dit")
    before = file.read_bytes()

    def fail(_tensors: object, path: Path, **_metadata: object) -> None:
        path.write_bytes(before[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loader, "save_file", fail)
    with pytest.raises(CheckpointError, match=r"diffusion_pytorch_model\.safetensors cannot be written: no room"):
        loader.write_tensors(file, {"a": torch.zeros(1)})
    assert file.read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []


def test_tensors_that_share_memory_are_written_apart(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    tensors = {"whole": base, "again": base, "row": base[1], "turned": base.T}
    loader.write_tensors(tmp_path / "a.safetensors", tensors)
    found = load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_the_manifest_leaves_hidden_folders_out(tmp_path: Path) -> None:
    for name in ("a.safetensors", "words/tokenizer.json", ".cache/x.json", "notes.txt", "words/spiece.model"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    for _ in range(2):
        written = json.loads(write_manifest(tmp_path, "owner/name", COMMIT).read_text())
        assert list(written["files"]) == ["a.safetensors", "words/spiece.model", "words/tokenizer.json"]
    assert (written["source"], written["revision"]) == ("owner/name", COMMIT)
    assert {entry["bytes"] for entry in written["files"].values()} == {1}


# The hub.


@pytest.mark.parametrize(
    ("source", "revision", "told"),
    [
        ("owner/name", None, "needs checkpoint.revision, the 40 hex digits of a commit"),
        ("owner/name", "main", "needs checkpoint.revision"),
        ("owner/name", COMMIT[:12], "needs checkpoint.revision"),
        ("nowhere", COMMIT, "no folder 'nowhere', nor is that the id of a hub repository"),
        ("a/b/c", COMMIT, "no folder 'a/b/c'"),
    ],
)
def test_what_could_change_unseen_is_refused(source: str, revision: str | None, told: str) -> None:
    with pytest.raises(CheckpointError, match=told):
        open_checkpoint(CheckpointConfig(source=source, revision=revision))


def test_the_hub_is_asked_for_that_commit(saved: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder = saved
    asked = []

    def download(name: str, **options: Any) -> str:
        asked.append((name, options["revision"]))
        return str(folder)

    monkeypatch.setattr(loader, "snapshot_download", download)
    build_networks(replace(config, {"checkpoint.source": "owner/name", "checkpoint.revision": COMMIT}))
    assert asked == [("owner/name", COMMIT)]


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_pretrained_networks_are_the_saved_ones(
    saved: tuple[Config, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    config, folder = saved
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(to_tree(config.model)))
    monkeypatch.setattr(loader, "snapshot_download", lambda *_, **__: str(folder))
    source = (folder, None) if where == "folder" else ("owner/name", COMMIT)
    networks = from_pretrained(*source, model=tmp_path / "tiny.yaml", runtime=config.runtime)
    assert_same(networks, drawn(replace(config, {"checkpoint.source": None})))


def test_an_unreachable_hub_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("secret details")

    monkeypatch.setattr(loader, "snapshot_download", download)
    with pytest.raises(CheckpointError, match=r"could not fetch owner/name at 0123456789ab: .*check the network"):
        open_checkpoint(CheckpointConfig(source="owner/name", revision=COMMIT))


# Random weights.


def test_random_weights_follow_from_the_seed_alone(tiny_config: Config) -> None:
    first, same = drawn(tiny_config), drawn(tiny_config)
    assert_same(first, same)
    other = drawn(replace(tiny_config, {"checkpoint.init_seed": 1}))
    assert not torch.equal(first.dit.head.head.weight, other.dit.head.head.weight)
    assert len({first.fingerprint, other.fingerprint}) == 2
    for _, module in first.modules():
        assert all(tensor.isfinite().all() for tensor in module.state_dict().values())


def test_random_weights_go_by_name(tiny_config: Config) -> None:
    """So a deeper model shares what both have, and no two tensors are alike."""
    shallow = drawn(tiny_config).dit.state_dict()
    deep = drawn(replace(tiny_config, {"model.dit.num_layers": 3})).dit.state_dict()
    assert len(deep) > len(shallow)
    assert all(torch.equal(deep[name], tensor) for name, tensor in shallow.items())
    drawn_ones = [deep[f"blocks.{i}.self_attn.{letter}.weight"] for i in range(3) for letter in "qkvo"]
    assert len({float(tensor.sum()) for tensor in drawn_ones}) == len(drawn_ones)


def _file(folder: Path, component: str) -> Path:
    return folder / f"{COMPONENT_FILES[component]}.safetensors"
