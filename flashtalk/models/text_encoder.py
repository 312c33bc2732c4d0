"""The umT5 text encoder under its published tensor names, and its tokenizers.

Built by the engine, called by pipeline/conditioning once for each prompt.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import tokenizers
import torch
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from flashtalk.config import TextEncoderConfig
from flashtalk.errors import CheckpointError, ConfigError, InputError
from flashtalk.models.name_map import NameMap, Target

PAD_ID, EOS_ID, FIRST_BYTE_ID = 0, 1, 3
BYTE_VOCABULARY = FIRST_BYTE_ID + 256


class Tokenizer(Protocol):
    """Text -> ids, the end-of-text id last, never more than `max_tokens` of the config."""

    def __call__(self, text: str) -> list[int]:
        """Raises InputError for text that is not Unicode."""


class TextEncoder(nn.Module):
    """Prompt -> rows for the diffusion transformer. The RMS norms compute their statistics in float32."""

    PREFIX: ClassVar[str] = ""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        # The inner stack: the outer model holds the token table twice (tied), and a loader would fill it twice.
        self.stack = UMT5EncoderModel(_umt5_config(config)).encoder
        self.eval()

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Ids and mask (1 or True where a token is real) -> rows_BLD; rows of padding are not meaningful."""
        # A four-dimensional mask is used as it is; of a flat one transformers would ask the device if it is all ones.
        return self.stack(input_ids=ids_BL, attention_mask=mask_BL.bool()[:, None, None, :]).last_hidden_state

    def encode(self, text: str, tokenizer: Tokenizer) -> Tensor:
        """One prompt -> rows_LD of its real tokens only."""
        ids_BL = torch.tensor([tokenizer(text)], device=self.stack.embed_tokens.weight.device)
        return self(ids_BL, torch.ones_like(ids_BL))[0]

    def name_map(self) -> NameMap:
        """Published name -> parameters of this module."""
        return published_names(self.config)


def published_names(config: TextEncoderConfig) -> NameMap:
    """Every tensor of `models_t5_umt5-xxl-enc-bf16` and where it goes in a TextEncoder."""
    return {published: (Target(f"stack.{own}.weight"),) for published, own in _name_pairs(config.num_layers)}


def load_tokenizer(config: TextEncoderConfig, folder: Path | None) -> Tokenizer:
    """The tokenizer that `config` names; `folder` is the checkpoint's.

    Raises CheckpointError if its files are missing or damaged, ConfigError if the vocabulary has no room for bytes.
    """
    if config.tokenizer != "bytes":
        return _load_file_tokenizer(config, folder)
    if config.vocab_size < BYTE_VOCABULARY:
        raise ConfigError(
            f"text_encoder.tokenizer 'bytes' needs a vocab_size of at least {BYTE_VOCABULARY}, not {config.vocab_size}"
        )
    return ByteTokenizer(config.max_tokens)


@dataclass(frozen=True)
class ByteTokenizer:
    """UTF-8 bytes shifted by 3 (0 pads, 1 ends, 2 is unknown), as in byT5; longer text is cut."""

    max_tokens: int

    def __call__(self, text: str) -> list[int]:
        """Ids of the cleaned text."""
        encoded = clean_prompt(text).encode()[: self.max_tokens - 1]
        return [byte + FIRST_BYTE_ID for byte in encoded] + [EOS_ID]


@dataclass(frozen=True)
class FileTokenizer:
    """A trained tokenizer (`tokenizer.json`), already set to cut longer text."""

    model: tokenizers.Tokenizer

    def __call__(self, text: str) -> list[int]:
        """Ids of the cleaned text."""
        return list(self.model.encode(clean_prompt(text)).ids)


def clean_prompt(text: str) -> str:
    """The clean-up of the published tokenizer: HTML entities (also doubled ones) to characters, white space to spaces.

    Raises InputError (text_unicode) for half a surrogate pair, which has no UTF-8 form.
    """
    cleaned = " ".join(html.unescape(html.unescape(text)).split())
    broken = next((index for index, letter in enumerate(cleaned) if "\ud800" <= letter <= "\udfff"), None)
    if broken is not None:
        raise InputError(
            f"the prompt has half of a surrogate pair (U+{ord(cleaned[broken]):04X}) at character {broken + 1}; "
            "a prompt must be valid Unicode text: remove or retype that character",
            code="text_unicode",
        )
    return cleaned


def _load_file_tokenizer(config: TextEncoderConfig, folder: Path | None) -> FileTokenizer:
    # Not AutoTokenizer: it rebuilds umT5's tokenizer as T5's, which turns rare letters into <unk> instead of bytes.
    path = folder / config.tokenizer / "tokenizer.json" if folder is not None else None
    if path is None or not path.is_file():
        raise CheckpointError(
            f"the checkpoint has no tokenizer: '{config.tokenizer}/tokenizer.json' is missing; "
            f"add the folder '{config.tokenizer}' of the published repository"
        )
    try:
        model = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for a damaged file
        raise CheckpointError(f"the file '{config.tokenizer}/tokenizer.json' is damaged: fetch it again") from error
    model.no_padding()
    model.enable_truncation(config.max_tokens)
    _check_tokenizer(config, model)
    return FileTokenizer(model)


def _check_tokenizer(config: TextEncoderConfig, model: tokenizers.Tokenizer) -> None:
    if model.get_vocab_size() > config.vocab_size:
        raise CheckpointError(
            f"the tokenizer '{config.tokenizer}' has {model.get_vocab_size()} tokens, but the text encoder knows "
            f"{config.vocab_size}: they belong to different models"
        )
    if model.encode("").ids[-1:] != [EOS_ID]:
        raise CheckpointError(
            f"the tokenizer '{config.tokenizer}' does not end a text with id {EOS_ID}, as umT5 needs: "
            "it belongs to another model"
        )


def _umt5_config(config: TextEncoderConfig) -> UMT5Config:
    return UMT5Config(  # type: ignore[call-arg]  # attn_implementation is the base class's
        vocab_size=config.vocab_size,
        d_model=config.dim,
        d_kv=config.attention_dim // config.num_heads,
        d_ff=config.ffn_dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        relative_attention_num_buckets=config.num_buckets,
        dropout_rate=0.0,
        attn_implementation="sdpa",
    )


def _name_pairs(num_layers: int) -> Iterator[tuple[str, str]]:
    """(published name, parameter of the stack without its `.weight`)."""
    yield "token_embedding.weight", "embed_tokens"
    for index in range(num_layers):
        attention, feed_forward = f"block.{index}.layer.0", f"block.{index}.layer.1"
        yield f"blocks.{index}.norm1.weight", f"{attention}.layer_norm"
        for letter in "qkvo":
            yield f"blocks.{index}.attn.{letter}.weight", f"{attention}.SelfAttention.{letter}"
        yield f"blocks.{index}.norm2.weight", f"{feed_forward}.layer_norm"
        yield f"blocks.{index}.ffn.gate.0.weight", f"{feed_forward}.DenseReluDense.wi_0"
        yield f"blocks.{index}.ffn.fc1.weight", f"{feed_forward}.DenseReluDense.wi_1"
        yield f"blocks.{index}.ffn.fc2.weight", f"{feed_forward}.DenseReluDense.wo"
        yield f"blocks.{index}.pos_embedding.embedding.weight", f"{attention}.SelfAttention.relative_attention_bias"
    yield "norm.weight", "final_layer_norm"
