"""Small models in the layout of the published files, inverted by hand, for the tests of the loader and of `convert`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine.build import build_networks
from flashtalk.pipeline.networks import Networks

Weights = dict[str, Tensor]

CLIP = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
WAV2VEC2 = "chinese-wav2vec2-base/pytorch_model.bin"
DIT = "diffusion_pytorch_model"


def with_weights(config: Config, folder: Path, **changes: object) -> Config:
    """The same config, reading its weights from `folder`."""
    return replace(config, {"checkpoint.source": str(folder), **changes})


def drawn(config: Config) -> Networks:
    """The model's networks with random weights."""
    return build_networks(config)


def states(networks: Networks) -> dict[str, Weights]:
    return {name: dict(module.state_dict()) for name, module in networks.modules()}


def assert_same(networks: Networks, wanted: Networks) -> None:
    """Every tensor of every network, bit for bit."""
    found, expected = states(networks), states(wanted)
    assert found.keys() == expected.keys()
    for component, tensors in expected.items():
        assert found[component].keys() == tensors.keys()
        different = [name for name, tensor in tensors.items() if not torch.equal(found[component][name], tensor)]
        assert different == [], component


def write_published(networks: Networks, folder: Path, *, shards: int = 2) -> dict[str, Weights]:
    """What the published repository holds, by file name; returns the contents of the pickled files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_shards(networks.dit.state_dict(), folder, shards)
    assert isinstance(networks.codec, nn.Module)
    pickled: dict[str, Any] = {
        "Wan2.1_VAE.pth": networks.codec.state_dict(),
        CLIP: clip_file(networks.image_encoder),
        "models_t5_umt5-xxl-enc-bf16.pth": text_file(networks.text_encoder),
        WAV2VEC2: audio_file(networks.audio_encoder),
    }
    for name, weights in pickled.items():
        (folder / name).parent.mkdir(exist_ok=True)
        torch.save(weights, folder / name)
    return pickled


def write_shards(weights: Weights, folder: Path, shards: int) -> None:
    """The transformer: parts and an index, as the hub's tools write them."""
    names = sorted(weights)
    parts = {f"{DIT}-{i + 1:05}-of-{shards:05}.safetensors": names[i::shards] for i in range(shards)}
    for file, held in parts.items():
        save_file({name: weights[name] for name in held}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, held in parts.items() for name in held}}
    (folder / f"{DIT}.safetensors.index.json").write_text(json.dumps(index))


def clip_file(encoder: nn.Module) -> Weights:
    """Both towers; the image tower has a last block, a norm and a projection that are not used here."""
    own = encoder.state_dict()
    width = len(own["class_embedding"])
    visual = {
        "cls_embedding": own["class_embedding"].view(1, 1, width),
        "pos_embedding": own["position_embedding"][None],
        "patch_embedding.weight": own["patch_embedding.weight"],
        "pre_norm.weight": own["pre_norm.weight"],
        "pre_norm.bias": own["pre_norm.bias"],
        "post_norm.weight": torch.ones(width),
        "post_norm.bias": torch.zeros(width),
        "head": torch.randn(width, 3),
    }
    layers = 1 + max(int(name.split(".")[1]) for name in own if name.startswith("blocks."))
    for layer in range(layers + 1):
        visual |= _clip_block(own, min(layer, layers - 1), layer)
    file = {f"visual.{name}": tensor for name, tensor in visual.items()}
    return file | {"textual.token_embedding.weight": torch.randn(7, 4), "log_scale": torch.tensor(2.0)}


def _clip_block(own: Weights, source: int, layer: int) -> Weights:
    renamed = {"norm1": "layer_norm1", "attn.proj": "self_attn.out_proj", "norm2": "layer_norm2"}
    renamed |= {"mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2"}
    block = {}
    for leaf in ("weight", "bias"):
        for published, name in renamed.items():
            block[f"transformer.{layer}.{published}.{leaf}"] = own[f"blocks.{source}.{name}.{leaf}"]
        thirds = [own[f"blocks.{source}.self_attn.{letter}_proj.{leaf}"] for letter in "qkv"]
        block[f"transformer.{layer}.attn.to_qkv.{leaf}"] = torch.cat(thirds)
    return block


def text_file(encoder: nn.Module) -> Weights:
    own = encoder.state_dict()
    names = {
        published: target.name
        for published, (target,) in encoder.name_map().items()  # type: ignore[operator]
    }
    return {published: own[name] for published, name in names.items()}


def audio_file(encoder: nn.Module) -> Weights:
    """As fine-tuning frameworks save it: a prefix, the old spelling of weight norm, and what pretraining needed."""
    renamed = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    file: Weights = {"quantizer.codevectors": torch.randn(1, 4, 2), "project_q.weight": torch.randn(3, 2)}
    for name, tensor in encoder.state_dict().items():
        for new, old in renamed.items():
            name = name.replace(new, old)  # noqa: PLW2901
        file[f"wav2vec2.{name}"] = tensor
    return file
