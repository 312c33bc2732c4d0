"""Grafting: base + share (after - before) in every network, rounded once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from flashtalk.checkpoint import COMPONENT_FILES, read_manifest, write_manifest
from flashtalk.errors import InputError
from train.graft import graft

DIT, TEXT = (f"{COMPONENT_FILES[name]}.safetensors" for name in ("dit", "text_encoder"))


def folder_of(path: Path, seed: int, rows: int = 3) -> Path:
    draw = torch.Generator().manual_seed(seed)
    path.mkdir()
    save_file({"blocks.0": torch.randn(rows, 4, generator=draw).bfloat16(), "head": torch.ones(2) * seed}, path / DIT)
    save_file({"rows": torch.ones(2) * seed, "steps": torch.tensor([seed])}, path / TEXT)
    write_manifest(path, "test", None)
    return path


def test_a_share_of_the_change_is_added_to_every_network(tmp_path: Path) -> None:
    base, after, before = (folder_of(tmp_path / str(seed), seed) for seed in (1, 2, 4))
    graft(tmp_path / "out", base, after, before, share=0.5)
    made, *given = (load_file(folder / DIT) for folder in (tmp_path / "out", base, after, before))
    a, b, c = (tensors["blocks.0"].float() for tensors in given)
    assert torch.equal(made["blocks.0"], (a + 0.5 * (b - c)).bfloat16())
    assert made["head"].tolist() == [0, 0]
    encoder = load_file(tmp_path / "out" / TEXT)
    assert encoder["rows"].tolist() == [0, 0]
    assert encoder["steps"].tolist() == [1]
    manifest = read_manifest(tmp_path / "out")
    assert manifest["source"] == "train.graft"
    assert manifest["files"][DIT] != read_manifest(base)["files"][DIT]


def test_no_change_leaves_the_base(tmp_path: Path) -> None:
    base, other = (folder_of(tmp_path / str(seed), seed) for seed in (2, 3))
    graft(tmp_path / "out", base, other, other)
    for file in (DIT, TEXT):
        made, wanted = load_file(tmp_path / "out" / file), load_file(base / file)
        assert all(torch.equal(made[name], wanted[name]) for name in wanted)


def test_other_models_and_folders_that_are_there_are_refused(tmp_path: Path) -> None:
    base, other = folder_of(tmp_path / "1", 1), folder_of(tmp_path / "2", 2, rows=5)
    with pytest.raises(InputError, match="of one model"):
        graft(tmp_path / "out", base, base, other)
    with pytest.raises(InputError, match="is there already"):
        graft(base, base, base, base)
    assert not (tmp_path / "out").exists()
