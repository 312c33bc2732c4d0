"""The three encoders: the released numbers, the published names, and the laws that any sizes obey."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from flashtalk.config import AudioEncoderConfig, ImageEncoderConfig, TextEncoderConfig
from flashtalk.errors import CheckpointError, ConfigError, InputError
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.models.image_encoder import ImageEncoder
from flashtalk.models.text_encoder import EOS_ID, FIRST_BYTE_ID, TextEncoder, clean_prompt, load_tokenizer
from tests.vectors.recipe import parameter, tensor

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
OPEN: dict[str, Any] = json.loads((VECTORS / "open_encoders.json").read_text())
PUBLISHED: dict[str, Any] = json.loads((VECTORS / "published_encoders.json").read_text())
KINDS: dict[str, tuple[Any, Any]] = {
    "umt5": (TextEncoder, TextEncoderConfig),
    "clip": (ImageEncoder, ImageEncoderConfig),
    "wav2vec2": (AudioEncoder, AudioEncoderConfig),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def expected(name: str) -> Tensor:
    with np.load(VECTORS / "open_encoders.npz") as arrays:
        return torch.from_numpy(arrays[name])


def shapes(manifest: dict[str, Any]) -> dict[str, list[int]]:
    """Unfolds `{layer}`."""
    return {
        name.format(layer=layer): shape
        for name, shape in manifest["shapes"].items()
        for layer in range(manifest["layers"] if "{layer}" in name else 1)
    }


def published_tensors(kind: str) -> dict[str, Tensor]:
    made = {name: parameter(f"open.{kind}.{name}", shape) for name, shape in shapes(OPEN[kind]).items()}
    made = {name: np.abs(array) if name.endswith("original0") else array for name, array in made.items()}
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in made.items()}


def assign(module: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What checkpoint.py does, in its smallest form: each parameter exactly once."""
    pairs = [(t.name, t.pick(tensor)) for name, tensor in tensors.items() for t in module.name_map()[name]]
    assert len({name for name, _ in pairs}) == len(pairs)
    module.load_state_dict(dict(pairs), strict=True, assign=True)
    return module


def bare(kind: str, device: str = "meta") -> Any:
    encoder, config = KINDS[kind]
    sizes = {name: tuple(size) if isinstance(size, list) else size for name, size in OPEN[kind]["config"].items()}
    with torch.device(device):
        return encoder(config(**sizes))


def loaded(kind: str, device: str = "meta") -> Any:
    return assign(bare(kind, device), published_tensors(kind))


@torch.no_grad()
def run(kind: str, encoder: Any) -> Tensor:
    """The encoder on the input of its vector, laid out like the vector."""
    if kind == "umt5":
        ids_BL = expected("umt5.ids")
        return encoder(ids_BL, (ids_BL != 0).long())[0, :11]
    if kind == "clip":
        return encoder(torch.from_numpy(np.tanh(tensor("open.in.clip_image", OPEN["clip"]["input_shape"]))))
    samples_BS = 0.1 * torch.from_numpy(tensor("open.in.waveform", OPEN["wav2vec2"]["input_shape"]))
    return encoder(samples_BS, 25)[0]


def relative_error(got: Tensor, wanted: Tensor) -> float:
    assert got.shape == wanted.shape
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(
    ("kind", "array"), [("umt5", "umt5.context"), ("clip", "clip.penultimate"), ("wav2vec2", "wav2vec2.hidden")]
)
def test_gives_the_released_numbers(kind: str, array: str) -> None:
    assert relative_error(run(kind, loaded(kind)), expected(array)) < 1e-5


@every_kind
def test_a_meta_build_equals_a_normal_one(kind: str) -> None:
    assert torch.equal(run(kind, loaded(kind, "meta")), run(kind, loaded(kind, "cpu")))


@every_kind
def test_nothing_but_parameters_is_held(kind: str) -> None:
    """A computed buffer would be lost in a meta build and would have to follow the device."""
    encoder = bare(kind)
    assert not list(encoder.buffers())
    assert not encoder.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())


@every_kind
def test_training_mode_changes_nothing(kind: str) -> None:
    encoder = loaded(kind)
    assert torch.equal(run(kind, encoder.train()), run(kind, encoder.eval()))


@every_kind
def test_bfloat16_is_near_float32(kind: str) -> None:
    encoder = loaded(kind)
    exact, rounded = run(kind, encoder), run(kind, encoder.to(torch.bfloat16))
    assert rounded.dtype == torch.bfloat16
    assert relative_error(rounded.float(), exact) < 0.03


class Watch(TorchDispatchMode):
    """Refuses double precision and reads of a device's values."""

    def __torch_dispatch__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert function is not torch.ops.aten._local_scalar_dense.default, "the host waited for the device"
        result = function(*args, **(kwargs or {}))
        assert getattr(result, "dtype", None) != torch.float64, f"{function} works in float64"
        return result


@every_kind
def test_no_double_precision_and_no_waiting(kind: str) -> None:
    encoder = loaded(kind)
    with Watch():
        run(kind, encoder)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_takes_the_published_files(kind: str) -> None:
    encoder, config = KINDS[kind]
    with torch.device("meta"):
        module = encoder(config())
        tensors = {name: torch.empty(shape) for name, shape in shapes(PUBLISHED[kind]).items()}
    assert {module.PREFIX + name for name in module.name_map()} == set(tensors)
    assign(module, {name.removeprefix(module.PREFIX): tensor for name, tensor in tensors.items()})


@every_kind
def test_every_parameter_has_a_published_name(kind: str) -> None:
    encoder = bare(kind)
    targets = {target.name for targets in encoder.name_map().values() for target in targets}
    assert targets == set(encoder.state_dict())


def test_published_sizes_give_the_rows_that_the_transformer_expects() -> None:
    with torch.device("meta"), torch.no_grad():
        text, image, audio = (encoder(config()) for encoder, config in KINDS.values())
        assert text(torch.ones(1, 512, dtype=torch.long), torch.ones(1, 512)).shape == (1, 512, 4096)
        assert image(torch.zeros(1, 3, 448, 768)).shape == (1, 257, 1280)
        assert audio(torch.zeros(1, 8 * 16000), 200).shape == (1, 200, 12, 768)


# --- image


def test_the_last_image_block_is_known_but_not_held() -> None:
    unused = {name for name, targets in bare("clip").name_map().items() if not targets}
    last = OPEN["clip"]["layers"] - 1
    tail = {
        name for name in published_tensors("clip") if name.startswith((f"transformer.{last}.", "post_norm", "head"))
    }
    assert unused == tail


def test_pictures_of_a_batch_do_not_see_each_other() -> None:
    encoder, pixels_BCHW = loaded("clip"), torch.rand(2, 3, 30, 50) * 2 - 1
    with torch.no_grad():
        alone = torch.cat([encoder(picture[None]) for picture in pixels_BCHW])
        torch.testing.assert_close(encoder(pixels_BCHW), alone)


# --- text


def test_padding_is_not_attended_to() -> None:
    encoder, ids_BL = loaded("umt5"), expected("umt5.ids")
    mask_BL = ids_BL != 0
    with torch.no_grad():
        rows_LD = encoder(ids_BL, mask_BL)[0, :11]
        other_LD = encoder(ids_BL.masked_fill(~mask_BL, 77), mask_BL)[0, :11]
        bare_LD = encoder(ids_BL[:, :11], mask_BL[:, :11])[0]
    assert torch.equal(rows_LD, other_LD)
    torch.testing.assert_close(rows_LD, bare_LD)


def test_encode_gives_the_rows_of_real_tokens() -> None:
    encoder, ids_BL = loaded("umt5"), expected("umt5.ids")
    with torch.no_grad():
        rows_LD = encoder.encode("any", lambda _text: ids_BL[0, :11].tolist())
    assert relative_error(rows_LD, expected("umt5.context")) < 1e-5


@given(st.text(max_size=40).filter(lambda text: "&" not in text))
@settings(max_examples=50)
def test_bytes_round_trip(text: str) -> None:
    ids = load_tokenizer(TextEncoderConfig(tokenizer="bytes"), None)(text)
    assert ids[-1] == EOS_ID
    assert bytes(index - FIRST_BYTE_ID for index in ids[:-1]).decode() == " ".join(text.split())


def test_long_text_is_cut_with_its_end_kept() -> None:
    ids = load_tokenizer(TextEncoderConfig(tokenizer="bytes", max_tokens=5), None)("abcdefgh")
    assert ids == [ord(letter) + FIRST_BYTE_ID for letter in "abcd"] + [EOS_ID]


def test_bytes_need_room() -> None:
    with pytest.raises(ConfigError, match="at least 259, not 97"):
        load_tokenizer(TextEncoderConfig(tokenizer="bytes", vocab_size=97), None)


def test_prompts_are_cleaned() -> None:
    assert clean_prompt("  a\tman\n\n talks &amp;amp; nods\u3000&quot;hi&quot; ") == 'a man talks & nods "hi"'


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InputError, match=r"U\+D83D\) at character 2") as refused:
        clean_prompt("a\ud83d")
    assert refused.value.code == "text_unicode"


def write_tokenizer(folder: Path, *, ends: bool = True) -> TextEncoderConfig:
    """A small trained tokenizer with byte fall-back, as umT5's has."""
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *((f"<0x{i:02X}>", -5.0) for i in range(256))]
    words += [("▁", -2.0), ("▁talk", -2.5), ("s", -3.0)]
    model = tokenizers.Tokenizer(tokenizers.models.Unigram(words, unk_id=2, byte_fallback=True))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    if ends:
        model.post_processor = tokenizers.processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    model.enable_padding(length=9)
    (folder / "words").mkdir(exist_ok=True)
    model.save(str(folder / "words" / "tokenizer.json"))
    return TextEncoderConfig(tokenizer="words", vocab_size=len(words), max_tokens=4)


def test_a_trained_tokenizer_is_used_as_it_was_saved(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(write_tokenizer(tmp_path), tmp_path)
    assert tokenizer(" talks ") == [260, 261, EOS_ID]
    assert tokenizer("é") == [259, 3 + 0xC3, 3 + 0xA9, EOS_ID]
    assert tokenizer("talks talks talks") == [260, 261, 260, EOS_ID]


def test_unusable_tokenizers_are_refused(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        with pytest.raises(CheckpointError, match=r"'google/umt5-xxl/tokenizer\.json' is missing"):
            load_tokenizer(TextEncoderConfig(), folder)
    config = write_tokenizer(tmp_path, ends=False)
    with pytest.raises(CheckpointError, match="does not end a text"):
        load_tokenizer(config, tmp_path)
    with pytest.raises(CheckpointError, match="has 262 tokens, but the text encoder knows 261"):
        load_tokenizer(TextEncoderConfig(tokenizer="words", vocab_size=261), tmp_path)
    (tmp_path / "words" / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"'words/tokenizer\.json' is damaged"):
        load_tokenizer(config, tmp_path)


# --- audio


@pytest.mark.parametrize("prefix", ["", "wav2vec2."])
@pytest.mark.parametrize("old", [False, True])
def test_audio_names_in_all_their_spellings(prefix: str, old: bool) -> None:
    new_spelling = "parametrizations.weight.original"
    tensors = published_tensors("wav2vec2")
    if old:
        tensors = {
            name.replace(f"{new_spelling}0", "weight_g").replace(f"{new_spelling}1", "weight_v"): tensor
            for name, tensor in tensors.items()
        }
    tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    extra = {f"{name}.{leaf}": torch.ones(2) for name in ("project_q", "project_hid", "lm_head") for leaf in ("bias",)}
    assert (prefix + "encoder.pos_conv_embed.conv.weight_g" in tensors) == old
    encoder = assign(bare("wav2vec2"), {**tensors, **extra, "quantizer.codevectors": torch.ones(2)})
    assert torch.equal(run("wav2vec2", encoder), run("wav2vec2", loaded("wav2vec2")))


def test_each_sound_is_brought_to_zero_mean_and_unit_variance() -> None:
    """Looked at where the network begins: its first norm hides most of a wrong scale."""
    encoder, heard = loaded("wav2vec2"), []
    encoder.feature_extractor.register_forward_pre_hook(lambda _module, inputs: heard.append(inputs[0]))
    with torch.no_grad():
        encoder(torch.randn(2, 4000) * torch.tensor([[0.01], [3.0]]) + torch.tensor([[0.5], [0.0]]), 7)
    torch.testing.assert_close(heard[0].mean(1), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(heard[0].std(1), torch.ones(2), atol=1e-2, rtol=0)


def test_sounds_of_a_batch_do_not_hear_each_other() -> None:
    encoder, samples_BS = loaded("wav2vec2"), torch.randn(2, 4000)
    with torch.no_grad():
        alone = torch.cat([encoder(row[None], 7) for row in samples_BS])
        assert alone.shape == (2, 7, 3, 32)
        torch.testing.assert_close(encoder(samples_BS, 7), alone)


def test_silence_gives_numbers() -> None:
    with torch.no_grad():
        assert loaded("wav2vec2")(torch.zeros(1, 2000), 3).isfinite().all()


def test_the_shortest_sound() -> None:
    encoder = loaded("wav2vec2")
    assert encoder.min_samples == 400
    with torch.no_grad():
        assert encoder(torch.randn(1, 400), 2).shape[1] == 2
        assert encoder.feature_extractor(torch.randn(1, 719)).shape[-1] == 1
    with pytest.raises(InputError, match="has 399 samples; the audio encoder needs at least 400"):
        encoder(torch.randn(1, 399), 2)
