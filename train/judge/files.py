"""A trained judge on disk: judge.safetensors and judge.json. Called by `python -m train.judge` and by evaluate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from flashtalk.checkpoint import write_tensors
from flashtalk.config_file import from_tree, to_tree
from flashtalk.errors import CheckpointError, ConfigError
from train.judge.network import OUTPUTS, Judge, JudgeConfig

WEIGHTS, SETTINGS = "judge.safetensors", "judge.json"


def save_judge(judge: Judge, folder: Path, notes: Mapping[str, Any]) -> None:
    """Write weights and settings; `notes` (how it was trained, how good it is) go into judge.json."""
    write_tensors(folder / WEIGHTS, {name: tensor.cpu() for name, tensor in judge.state_dict().items()})
    tree = {"outputs": list(OUTPUTS), "config": to_tree(judge.config), **notes}
    (folder / SETTINGS).write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def load_judge(folder: str | Path, device: torch.device) -> Judge:
    """The judge that `save_judge` wrote, ready to read. Raises CheckpointError if it is missing, damaged or another."""
    folder = Path(folder)
    tree = read_settings(folder)
    if tree.get("outputs") != list(OUTPUTS):
        raise CheckpointError(
            f"the judge in {folder.name} reads {tree.get('outputs')}, this program wants {list(OUTPUTS)}: train it anew"
        )
    try:
        judge = Judge(from_tree(JudgeConfig, tree.get("config")))
        judge.load_state_dict(load_file(folder / WEIGHTS, device="cpu"))
    except (ConfigError, OSError, RuntimeError, SafetensorError) as error:
        message = f"the judge in {folder.name} is damaged or cut off: train it anew (`python -m train.judge`)"
        raise CheckpointError(message) from error
    return judge.to(device).eval().requires_grad_(False)


def read_settings(folder: Path) -> dict[str, Any]:
    """judge.json: outputs, config and the notes of its training. Raises CheckpointError."""
    try:
        tree = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder.name} holds no {SETTINGS}: train a judge with `python -m train.judge --out {folder.name}`"
        ) from None
    except (OSError, ValueError):
        raise CheckpointError(f"{folder.name}/{SETTINGS} is damaged: train the judge anew") from None
    if not isinstance(tree, dict):
        raise CheckpointError(f"{folder.name}/{SETTINGS} holds no settings: train the judge anew")
    return tree
