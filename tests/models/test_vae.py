"""Laws of the codecs: causal, chunk-invariant, equal to their oracles."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn

from flashtalk.config_codec import LightCodecConfig, WanVAEConfig
from flashtalk.models.causal import StreamCache
from flashtalk.models.light_codec import LightCodec
from flashtalk.models.vae import WanVAE

TINY_LIGHT = LightCodecConfig(
    latent_channels=8, encoder_width=8, decoder_widths=(16, 8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1)
)
CODECS: dict[str, Callable[[], WanVAE | LightCodec]] = {
    "wan": lambda: WanVAE(WanVAEConfig(base_dim=8)),
    "light": lambda: LightCodec(TINY_LIGHT),
}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> WanVAE | LightCodec:
    torch.manual_seed(1)
    return CODECS[request.param]().double().eval().requires_grad_(False)


def test_shapes_follow_the_strides(codec: WanVAE | LightCodec) -> None:
    pixels = torch.rand(2, 3, 9, 32, 48) * 2 - 1
    latents = codec.encode(pixels)
    assert latents.shape == (2, codec.latent_channels, 3, 4, 6)
    assert codec.decode(latents).shape == pixels.shape


def test_streamed_decode_is_whole_decode(codec: WanVAE | LightCodec) -> None:
    latents = torch.randn(1, codec.latent_channels, 4, 3, 4)
    pieces = list(codec.decode_stream(latents))
    assert [piece.shape[2] for piece in pieces] == [1, 4, 4, 4]
    torch.testing.assert_close(torch.cat(pieces, dim=2), codec.decode(latents), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cuts", [(1, 3), (2, 2), (3, 1), (1, 1, 1, 1), (1, 2, 1)])
def test_any_cut_gives_the_same_decode(codec: WanVAE | LightCodec, cuts: tuple[int, ...]) -> None:
    latents, cache = torch.randn(1, codec.latent_channels, 4, 3, 4), StreamCache()
    pieces = [codec._decode(piece, cache) for piece in latents.split(cuts, dim=2)]
    whole = codec._decode(latents, StreamCache())
    torch.testing.assert_close(torch.cat(pieces, dim=2), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cuts", [(1, 4, 4), (1, 8), (5, 4)])
def test_any_cut_gives_the_same_encode(cuts: tuple[int, ...]) -> None:
    vae = CODECS["wan"]().double().eval()
    assert isinstance(vae, WanVAE)
    pixels, cache = torch.randn(1, 3, 9, 16, 16, dtype=torch.float64), StreamCache()
    pieces = [vae.encoder(piece, cache) for piece in pixels.split(cuts, dim=2)]
    torch.testing.assert_close(torch.cat(pieces, dim=2), vae.encoder(pixels, StreamCache()))


def test_two_interleaved_streams_do_not_meet(codec: WanVAE | LightCodec) -> None:
    streams = torch.randn(2, 1, codec.latent_channels, 3, 3, 4)
    pieces = zip(*(codec.decode_stream(stream) for stream in streams), strict=True)
    together = [torch.cat(parts, dim=2) for parts in zip(*pieces, strict=True)]
    for frames, stream in zip(together, streams, strict=True):
        torch.testing.assert_close(frames, codec.decode(stream), rtol=0, atol=1e-6)


def test_later_latents_do_not_change_earlier_frames(codec: WanVAE | LightCodec) -> None:
    latents = torch.randn(1, codec.latent_channels, 4, 3, 4)
    changed = latents.clone()
    changed[:, :, 2:] += 1
    before, after = codec.decode(latents), codec.decode(changed)
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5:], after[:, :, 5:])


def test_later_frames_do_not_change_earlier_latents(codec: WanVAE | LightCodec) -> None:
    pixels = torch.rand(1, 3, 9, 16, 16) * 2 - 1
    changed = pixels.clone()
    changed[:, :, 5:] = 0
    before, after = codec.encode(pixels), codec.encode(changed)
    assert torch.equal(before[:, :, :2], after[:, :, :2])
    assert not torch.equal(before[:, :, 2:], after[:, :, 2:])


def test_normalisation_is_undone() -> None:
    """Latents scaled by mean and std decode to the same pixels as plain ones."""
    plain = LightCodec(TINY_LIGHT).eval()
    shifted = LightCodec(
        LightCodecConfig(**{**vars(TINY_LIGHT), "latent_mean": (0.5,) * 8, "latent_std": (2.0,) * 8})
    ).eval()
    shifted.load_state_dict(plain.state_dict())
    pixels = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    latents, scaled = plain.encode(pixels), shifted.encode(pixels)
    torch.testing.assert_close((latents - 0.5) / 2, scaled)
    torch.testing.assert_close(plain.decode(latents), shifted.decode(scaled))


def test_the_published_preview_layout_has_its_names() -> None:
    """Names and shapes of the published TAEHV weights for Wan2.1."""
    with torch.device("meta"):
        state = LightCodec(LightCodecConfig()).state_dict()
    known = {
        "encoder.0.weight": (64, 3, 3, 3),
        "encoder.2.conv.weight": (64, 128, 1, 1),
        "encoder.3.weight": (64, 64, 3, 3),
        "encoder.4.conv.0.weight": (64, 128, 3, 3),
        "encoder.17.weight": (16, 64, 3, 3),
        "decoder.1.weight": (256, 16, 3, 3),
        "decoder.3.conv.4.bias": (256,),
        "decoder.7.conv.weight": (256, 256, 1, 1),
        "decoder.8.weight": (128, 256, 3, 3),
        "decoder.13.conv.weight": (256, 128, 1, 1),
        "decoder.19.conv.weight": (128, 64, 1, 1),
        "decoder.20.weight": (64, 64, 3, 3),
        "decoder.22.weight": (3, 64, 3, 3),
    }
    assert {name: tuple(state[name].shape) for name in known} == known


def test_wan_equals_diffusers() -> None:
    ours = WanVAE(WanVAEConfig(base_dim=8)).eval().requires_grad_(False)
    for weight in ours.parameters():
        nn.init.normal_(weight, std=0.1)
    theirs = AutoencoderKLWan(base_dim=8).eval().requires_grad_(False)
    theirs.load_state_dict(dict(_diffusers_name_pairs(ours, theirs)))
    pixels = torch.rand(1, 3, 9, 32, 48) * 2 - 1
    config = ours.config
    mean, std = (torch.tensor(n).view(1, -1, 1, 1, 1) for n in (config.latent_mean, config.latent_std))
    latents = ours.encode(pixels)
    torch.testing.assert_close(latents * std + mean, theirs.encode(pixels).latent_dist.mean, rtol=1e-4, atol=1e-5)
    wanted = theirs.decode(latents * std + mean).sample.clamp(-1, 1)
    torch.testing.assert_close(ours.decode(latents), wanted, rtol=1e-4, atol=1e-5)


def _diffusers_name_pairs(ours: nn.Module, theirs: nn.Module) -> itertools.chain[tuple[str, Tensor]]:
    """Both networks list their layers in the same order of kinds; shapes are checked pair by pair."""
    pairs = []
    for part in ("encoder", "decoder"):
        own = _in_reading_order(ours.get_submodule(part).state_dict())
        other = _in_reading_order(theirs.get_submodule(part).state_dict())
        assert len(own) == len(other)
        for (_, weight), (name, wanted) in zip(own, other, strict=True):
            assert weight.shape == wanted.shape, name
            pairs.append((f"{part}.{name}", weight))
    outer = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
    direct = ((f"{b}.{leaf}", ours.get_submodule(a).get_parameter(leaf)) for a, b in outer.items() for leaf in LEAVES)
    return itertools.chain(pairs, direct)


LEAVES = ("weight", "bias")
# Where a layer of either naming stands in the network: ours by number, theirs by word.
STAGES = (
    ("conv1", "conv_in"),
    ("downsamples", "down_blocks"),
    ("middle", "mid_block"),
    ("upsamples", "up_blocks"),
    ("head", "norm_out", "conv_out"),
)
INNER = ("norm.", "norm1", "residual.0", "conv1", "residual.2", "norm2", "residual.3", "conv2", "residual.6")
INNER += ("shortcut", "conv_shortcut", "to_qkv", "proj", "upsampler", "resample", "time_conv")


def _in_reading_order(state: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
    return sorted(state.items(), key=lambda item: _place(item[0]))


def _place(name: str) -> tuple[object, ...]:
    stage = next(i for i, words in enumerate(STAGES) if name.startswith(words))
    if stage == 2 and name.startswith("mid_block"):
        kind, index = name.split(".")[1:3]
        name = f"middle.{2 * int(index) if kind == 'resnets' else 1}." + name.split(".", 3)[3]
    if stage == 4:
        name = name.replace("norm_out", "head.0").replace("conv_out", "head.2")
    numbers = tuple(int(part) for part in name.split(".")[:4] if part.isdigit())
    resampler = any(word in name for word in ("upsampler", "resample.", "time_conv"))
    if name.startswith("up_blocks"):
        block = numbers[0]
        numbers = (4 * block + (3 if resampler else numbers[1]),)
    elif stage in (1, 2, 3):
        numbers = numbers[:1]
    inner = next((i for i, word in enumerate(INNER) if word in name.split(".", 2)[-1] and stage != 4), 0)
    if stage == 4:
        inner = numbers[0]
    return stage, numbers, _rank(name, inner), name.endswith("bias")


def _rank(name: str, inner: int) -> int:
    same = {"norm1": 0, "residual.0": 0, "norm.": 0, "conv1": 1, "residual.2": 1, "norm2": 2, "residual.3": 2}
    same |= {"conv2": 3, "residual.6": 3, "conv_shortcut": 4, "shortcut": 4, "to_qkv": 5, "proj": 6}
    same |= {"resample": 7, "time_conv": 8}
    hits = [rank for word, rank in same.items() if f".{word}" in f".{name}"]
    return max(hits) if hits else inner
