"""`convert`: the published layout becomes a checkpoint that loads bit for bit; pickles with code never run it."""

from __future__ import annotations

import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from flashtalk import convert
from flashtalk.checkpoint import COMPONENT_FILES, MANIFEST, read_manifest, sha256
from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.convert import ConvertReport, build_on_meta, convert_folder, load_plain_weights
from flashtalk.engine.build import build_networks
from flashtalk.errors import CheckpointError
from flashtalk.models.light_codec import PreviewCodec
from tests.published_files import CLIP, DIT, WAV2VEC2, assert_same, drawn, with_weights, write_published

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def published(tiny_wan_config: Config, tmp_path: Path) -> tuple[Config, Path]:
    """A folder like the published one, holding the weights that `drawn(config)` draws."""
    write_published(drawn(tiny_wan_config), tmp_path / "model")
    return tiny_wan_config, tmp_path / "model"


def refused(config: Config, folder: Path) -> str:
    """What is said; nothing was written, and no path of this machine is told."""
    before = listing(folder)
    with pytest.raises(CheckpointError) as caught:
        convert_folder(folder, config.model)
    assert listing(folder) == before
    assert str(folder) not in str(caught.value)
    return str(caught.value)


def listing(folder: Path) -> dict[str, float]:
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_converted_weights_are_the_published_ones(published: tuple[Config, Path]) -> None:
    config, folder = published
    originals = listing(folder)
    report = convert_folder(folder, config.model, source="owner/name", revision=COMMIT)
    assert_same(build_networks(with_weights(config, folder)), drawn(config))
    assert originals.items() <= listing(folder).items(), "originals are left alone"
    check_report(report, folder)
    manifest = read_manifest(folder)
    assert (manifest["source"], manifest["revision"]) == ("owner/name", COMMIT)


def check_report(report: ConvertReport, folder: Path) -> None:
    made = {file.component: file.made_of for file in report.files if file.made_of}
    assert made == {
        "codec": "Wan2.1_VAE.pth",
        "image_encoder": CLIP,
        "text_encoder": "models_t5_umt5-xxl-enc-bf16.pth",
        "audio_encoder": "pytorch_model.bin",
    }
    assert [file.name for file in report.files if file.component == "dit"] == [
        f"{DIT}-0000{i}-of-00002.safetensors" for i in (1, 2)
    ]
    for file in report.files:
        path = folder / file.name
        assert (file.bytes, file.sha256) == (path.stat().st_size, sha256(path))
        assert file.tensors == len(load_file(path))
    assert report.bytes == sum(file.bytes for file in report.files)


def test_names_are_kept_and_other_networks_left_out(published: tuple[Config, Path]) -> None:
    config, folder = published
    convert_folder(folder, config.model)
    for component, original in (("image_encoder", CLIP), ("audio_encoder", WAV2VEC2)):
        before = torch.load(folder / original, weights_only=True)
        after = load_file(folder / f"{COMPONENT_FILES[component]}.safetensors")
        kept = {name for name in before if not name.startswith(("textual.", "log_scale"))}
        assert set(after) == kept
        assert all(torch.equal(after[name], before[name]) for name in kept)
    assert any(name.startswith("visual.post_norm") for name in load_file(folder / f"{Path(CLIP).stem}.safetensors"))


def test_the_audio_encoder_may_lie_beside(published: tuple[Config, Path]) -> None:
    config, folder = published
    beside = folder.parent / "chinese-wav2vec2-base"
    (folder / "chinese-wav2vec2-base").rename(beside)
    convert_folder(folder, config.model)
    assert [file.name for file in beside.iterdir()] == ["pytorch_model.bin"]
    assert_same(build_networks(with_weights(config, folder)), drawn(config))


def test_files_from_before_zip_archives(published: tuple[Config, Path]) -> None:
    config, folder = published
    file = folder / WAV2VEC2
    weights = torch.load(file, weights_only=True)
    torch.save(weights, file, _use_new_zipfile_serialization=False)
    convert_folder(folder, config.model)
    assert_same(build_networks(with_weights(config, folder)), drawn(config))


def test_shared_and_turned_tensors_are_written_whole(published: tuple[Config, Path]) -> None:
    config, folder = published
    file = folder / "Wan2.1_VAE.pth"
    weights = torch.load(file, weights_only=True)
    weights |= {name: t.mT.contiguous().mT for name, t in weights.items() if t.dim() > 2}
    joined = torch.cat([t.flatten() for t in weights.values()])
    sizes = [t.numel() for t in weights.values()]
    views = {name: part.view(t.shape) for (name, t), part in zip(weights.items(), joined.split(sizes), strict=True)}
    torch.save(views, file)
    convert_folder(folder, config.model)
    assert_same(build_networks(with_weights(config, folder)), drawn(config))


def test_twice_does_nothing_new(published: tuple[Config, Path]) -> None:
    config, folder = published
    first = convert_folder(folder, config.model, source="owner/name", revision=COMMIT)
    before, manifest = listing(folder), (folder / MANIFEST).read_text()
    second = convert_folder(folder, config.model)
    after = listing(folder)
    assert {name for name in after if after[name] != before[name]} == {str(folder / MANIFEST)}
    assert (folder / MANIFEST).read_text() == manifest
    assert {file.made_of for file in second.files} == {None}
    assert [(file.name, file.sha256) for file in second.files] == [(file.name, file.sha256) for file in first.files]


def test_what_was_left_off_is_gone_on_with(published: tuple[Config, Path]) -> None:
    config, folder = published
    convert_folder(folder, config.model)
    (folder / "Wan2.1_VAE.safetensors").unlink()
    report = convert_folder(folder, config.model)
    assert [file.made_of for file in report.files if file.made_of] == ["Wan2.1_VAE.pth"]


def test_the_preview_decoder_is_optional(published: tuple[Config, Path]) -> None:
    config, folder = published
    sizes = {"kind": "light", "encoder_width": 4, "decoder_widths": [4, 4, 4, 4]}
    config = replace(config, {"model.preview_codec": sizes})
    assert {file.component for file in convert_folder(folder, config.model).files} == {*COMPONENT_FILES} - {
        "preview_codec"
    }
    preview = build_on_meta("preview_codec", config.model)
    assert preview is not None
    weights = {name: torch.randn(t.shape) for name, t in preview.state_dict().items()}
    torch.save(weights, folder / "taew2_1.pth")
    assert "taew2_1.safetensors" in {file.name for file in convert_folder(folder, config.model).files}
    found = load_file(folder / "taew2_1.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
    codec = build_networks(with_weights(config, folder, **{"runtime.decoder": "preview"})).codec
    assert isinstance(codec, PreviewCodec)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in codec.light.state_dict().items())


# What is refused, with nothing written.


class Canary:
    """A pickle of this writes a file when it is opened without care."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.file, "sang")


def test_code_in_a_file_never_runs(published: tuple[Config, Path]) -> None:
    config, folder = published
    sang = folder.parent / "sang"
    file = folder / "Wan2.1_VAE.pth"
    weights = torch.load(file, weights_only=True)
    for content in (Canary(sang), {**weights, "extra": Canary(sang)}):
        for zipped in (True, False):
            torch.save(content, file, _use_new_zipfile_serialization=zipped)
            assert "Wan2.1_VAE.pth is not a plain weights file, and nothing in it was executed" in refused(
                config, folder
            )
    file.write_bytes(pickle.dumps(Canary(sang), protocol=2))
    assert "nothing in it was executed" in refused(config, folder)
    assert not sang.exists()
    pickle.loads(file.read_bytes())
    assert sang.exists(), "the canary can sing"


@pytest.mark.parametrize("zipped", [True, False])
def test_files_cut_off_are_refused(published: tuple[Config, Path], zipped: bool) -> None:
    config, folder = published
    file = folder / WAV2VEC2
    torch.save(torch.load(file, weights_only=True), file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 20):
        file.write_bytes(whole[:size])
        assert "pytorch_model.bin is not a plain weights file" in refused(config, folder), size


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"a": {"b": torch.zeros(1)}}, torch.zeros(3), None])
def test_what_is_no_table_of_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth is not a plain weights file: it must hold named tensors"):
        load_plain_weights(tmp_path / "a.pth")


def test_weights_of_another_model_are_told_before_anything_is_written(published: tuple[Config, Path]) -> None:
    config, folder = published
    bigger = replace(config, {"model.codec.base_dim": 16})
    told = refused(bigger, folder)
    assert told.startswith("the weights of codec are of another model:\n  shape    encoder.conv1.weight  is (8, 3,")
    deeper = replace(config, {"model.dit.num_layers": 3})
    assert "missing  blocks.2.modulation  (1, 6, 48)" in refused(deeper, folder)


def test_all_missing_files_are_named_at_once(published: tuple[Config, Path]) -> None:
    config, folder = published
    (folder / "Wan2.1_VAE.pth").unlink()
    (folder / WAV2VEC2).unlink()
    (folder / f"{DIT}.safetensors.index.json").unlink()
    assert refused(config, folder).splitlines()[1:] == [
        f"  dit: {DIT}.safetensors",
        "  codec: Wan2.1_VAE.pth",
        f"  audio_encoder: {WAV2VEC2}",
    ]


def test_a_missing_tokenizer_is_told(published: tuple[Config, Path]) -> None:
    config, folder = published
    config = replace(config, {"model.text_encoder.tokenizer": "google/umt5-xxl"})
    assert "google/umt5-xxl/tokenizer.json' is missing" in refused(config, folder)


def test_a_missing_folder_is_told(tiny_config: Config, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder 'nowhere'"):
        convert_folder(tmp_path / "nowhere", tiny_config.model)


def test_one_file_is_in_memory_at_a_time(published: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder = published
    alive: list[weakref.ref[Tensor]] = []
    original = convert.load_plain_weights

    def watched(file: Path) -> dict[str, Tensor]:
        assert not [ref for ref in alive if ref() is not None], file.name
        weights = original(file)
        alive[:] = [weakref.ref(tensor) for tensor in weights.values()]
        return weights

    monkeypatch.setattr(convert, "load_plain_weights", watched)
    convert_folder(folder, config.model)
    assert alive


def test_only_the_preview_decoder_may_be_no_part_of_a_model(tiny_config: Config) -> None:
    built = {component: build_on_meta(component, tiny_config.model) for component in COMPONENT_FILES}
    assert [component for component, module in built.items() if module is None] == ["preview_codec"]
