"""Gives the light codec's decoder more blocks that do nothing yet: `python -m train.deepen OUT WEIGHTS --blocks 4 3 1`.

Every picture stays what it was (Net2Net's deeper net, Chen et al., arXiv 1511.05641), so that `train.codec` with
`decoder_only` goes on from there and a transformer trained on these latents serves on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashtalk.config import ModelConfig
from flashtalk.config_codec import LightCodecConfig
from flashtalk.config_file import load_model_config
from flashtalk.errors import InputError
from flashtalk.models.light_codec import LightCodec, MemoryBlock
from train.launch import command
from train.ranks import Ranks
from train.stages import MODEL_FILE, export, get_module

Blocks = tuple[int, int, int]


def deepen(codec: LightCodec, decoder_blocks: Blocks, seed: int = 0) -> LightCodec:
    """A codec that decodes the same, with `decoder_blocks` memory blocks at each level, at least as many as now.

    A new block comes last of its level, behind a ReLU, and its last convolution is 0: it hands on what it gets.
    Raises InputError(deepen).
    """
    now = codec.config.decoder_blocks
    if any(new < max(1, old) for new, old in zip(decoder_blocks, now, strict=True)):
        raise InputError(f"blocks {decoder_blocks} must be at least {now}, each 1 or more", code="deepen")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        deeper = LightCodec(replace(codec.config, decoder_blocks=decoder_blocks))
    deeper.encoder.load_state_dict(codec.encoder.state_dict())
    left = list(codec.decoder)
    for layer in deeper.decoder:
        if isinstance(layer, MemoryBlock) and not isinstance(left[0], MemoryBlock):
            _silence(layer)
        else:
            layer.load_state_dict(left.pop(0).state_dict())
    return deeper


def _silence(block: MemoryBlock) -> None:
    last = block.conv[-1]
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)


def _model_with(model: ModelConfig, decoder_blocks: Blocks) -> ModelConfig:
    assert isinstance(model.codec, LightCodecConfig)
    return replace(model, codec=replace(model.codec, decoder_blocks=decoder_blocks))


@command
def main(
    out: Path,
    weights: Path,
    blocks: Annotated[tuple[int, int, int], typer.Option(help="Memory blocks at each level of the decoder.")],
) -> None:
    """Write the checkpoint WEIGHTS with a deeper decoder to the folder OUT."""
    model = load_model_config(weights / MODEL_FILE)
    with Ranks.join(0, 1, device="cpu") as ranks:
        codec = get_module(model, "codec", ranks.device, weights=str(weights), required=True)
        assert isinstance(codec, LightCodec)
        deeper = deepen(codec, blocks)
        export(out, {"codec": deeper}, _model_with(model, blocks), ranks, weights=str(weights), source="train.deepen")
    typer.echo(f"checkpoint: {out}")


if __name__ == "__main__":
    typer.run(main)
