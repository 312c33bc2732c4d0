"""The joined layers of the light codec are the plain ones: any temporal layout, size and cut, whole and streamed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace as with_changes
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from flashtalk.config import Config
from flashtalk.config_codec import LightCodecConfig
from flashtalk.config_file import load_config, replace, to_tree
from flashtalk.engine import fast_light
from flashtalk.engine.build import build_networks
from flashtalk.engine.fast_light import FastDecoder, JoinConv, SplitUpConv, make_light_fast
from flashtalk.engine.fast_vae import NormSiluConv
from flashtalk.engine.plan import plan
from flashtalk.models.causal import StreamCache
from flashtalk.models.light_codec import JoinFrames, LightCodec, MemoryBlock, PreviewCodec, SplitFrames

Pair = tuple[LightCodec, LightCodec]

TINY = LightCodecConfig(
    latent_channels=4,
    encoder_width=4,
    decoder_widths=(8, 6, 5, 4),
    encoder_blocks=(1, 0, 2),
    decoder_blocks=(2, 1, 1),
    latent_mean=(0.5, -0.5, 0.0, 0.1),
)
LAYOUTS = list(product((False, True), repeat=3))
SHIPPED = (True, True, False)


def pair_of(layout: tuple[bool, ...] = SHIPPED, patch: int = 2, dtype: torch.dtype = torch.float64) -> Pair:
    torch.manual_seed(3)
    there = {"temporal_upsample": layout, "temporal_downsample": layout[::-1]}
    config = with_changes(TINY, pixel_patch=patch, **there)  # type: ignore[arg-type]
    plain = LightCodec(config).to(dtype).eval().requires_grad_(False)
    fast = copy.deepcopy(plain)
    make_light_fast(fast)
    return plain, fast


def assert_same(fast: Tensor, plain: Tensor, bound: float = 1e-10) -> None:
    assert fast.shape == plain.shape
    assert fast.dtype == plain.dtype
    assert (fast - plain).norm() <= bound * plain.norm()


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype)


def patches(codec: LightCodec, z_BTCHW: Tensor, cache: StreamCache) -> Iterator[Tensor]:
    assert isinstance(codec.decoder, FastDecoder)
    return codec.decoder.patches(z_BTCHW, cache)


def last_layers(pair: Pair, z_BTCHW: Tensor, cuts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """What the last convolutions give, before pixels are made float32: channels (row, column, colour)."""
    plain, fast = pair
    found = list[Tensor]()
    hook = plain.decoder[-1].register_forward_hook(lambda _module, _inputs, out: found.append(out))
    plain.decoder(z_BTCHW, StreamCache())
    hook.remove()
    patch, cache = plain.config.pixel_patch, StreamCache()
    wanted = found[0].unflatten(1, (3, patch, patch)).movedim(1, 3).flatten(1, 3)
    pieces = [piece for z in z_BTCHW.split(cuts, dim=1) for piece in patches(fast, z, cache)]
    return torch.cat(pieces, dim=1), wanted.unflatten(0, (len(z_BTCHW), -1))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("patch", [1, 2])
def test_layers_are_the_plain_ones(layout: tuple[bool, ...], patch: int) -> None:
    pair = pair_of(layout, patch)
    for shape in ((1, 1, 4, 1, 1), (2, 3, 4, 3, 5)):
        assert_same(*last_layers(pair, noise(*shape), (shape[1],)))


@pytest.mark.parametrize("cuts", [(1, 1, 1, 1, 1), (1, 2, 2), (3, 2)])
def test_any_cut_gives_the_same(cuts: tuple[int, ...]) -> None:
    assert_same(*last_layers(pair_of(), noise(2, 5, 4, 3, 2), cuts))


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("patch", [1, 2])
def test_encoding_is_the_plain_one(layout: tuple[bool, ...], patch: int) -> None:
    pair = pair_of(layout, patch)
    made = list[Tensor]()
    hooks = [codec.encoder[-1].register_forward_hook(lambda _m, _i, out: made.append(out)) for codec in pair]
    stride = pair[0].temporal_stride
    for frames, rows, columns in ((1, 1, 1), (1 + 2 * stride, 3, 5)):
        pixels = noise(2, 3, frames, rows * 8 * patch, columns * 8 * patch)
        latents = [codec.encode(pixels) for codec in pair]
        assert_same(latents[1], latents[0], 1e-7)  # these are float32
        assert_same(made[-1], made[-2])
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("bytes_at_once", [1, 1500, 2**30])
def test_the_size_of_pieces_changes_nothing(bytes_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_light, "CACHED_BYTES", bytes_at_once)
    assert_same(*last_layers(pair_of((True, True, False)), noise(1, 5, 4, 3, 2), (5,)))


def test_small_pieces_are_what_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_light, "CACHED_BYTES", 1)
    _, fast = pair_of()
    pieces = [piece.shape[1] for piece in patches(fast, noise(1, 2, 4, 3, 2), StreamCache())]
    assert pieces == [1] * 8


@pytest.mark.parametrize("layout", [SHIPPED, (True, True, False)], ids=str)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-7), (torch.float32, 1e-5)], ids=["64", "32"])
@pytest.mark.parametrize("bytes_at_once", [1500, 2**21])
def test_pixels_are_the_plain_and_the_streamed_ones(
    layout: tuple[bool, ...], dtype: torch.dtype, bound: float, bytes_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are float32 in the end, so float64 shows up to that."""
    monkeypatch.setattr(fast_light, "CACHED_BYTES", bytes_at_once)
    plain, fast = pair_of(layout, dtype=dtype)
    latents = noise(2, 4, 4, 5, 3, dtype=torch.float32)
    wanted = plain.decode(latents)
    assert_same(fast.decode(latents), wanted, bound)
    assert_same(torch.cat(list(fast.decode_stream(latents)), dim=2), wanted, bound)
    assert_same(fast.decode_raw(9 * latents), plain.decode_raw(9 * latents), bound)


def test_two_streams_do_not_meet() -> None:
    _, fast = pair_of()
    both = noise(2, 1, 4, 3, 3, 2, dtype=torch.float32)
    streams = [fast.decode_stream(latents) for latents in both]
    pieces = list(zip(*streams, strict=True))
    for latents, parts in zip(both, zip(*pieces, strict=True), strict=True):
        assert_same(torch.cat(parts, dim=2), fast.decode(latents), 1e-7)


@pytest.mark.parametrize("frames", [1, 2])
def test_rows_with_their_neighbours_are_the_whole(frames: int) -> None:
    """What a split does from outside: no padding of rows, a row of each neighbour (zeros beyond the picture)."""
    conv = nn.Conv2d(6, 4, 3, padding=1, bias=False).double().requires_grad_(False)
    layer = SplitUpConv(SplitFrames(6, frames).double().requires_grad_(False), conv)
    x = noise(1, 3, 6, 5, 4)
    whole, padded = layer(x), nn.functional.pad(x, (0, 0, 1, 1))
    layer.padding = (0, 1)
    parts = [layer(padded.narrow(-2, first, rows + 2)) for first, rows in ((0, 2), (2, 3))]
    assert_same(torch.cat(parts, dim=-2), whole)


def test_nothing_is_left_plain_or_kept_twice() -> None:
    """Each weight has memory of its own, and no more than it needs: products of weights took the place of both."""
    plain, fast = pair_of()
    assert not [m for m in fast.modules() if type(m) in (MemoryBlock, SplitFrames, JoinFrames, nn.Upsample)]
    assert not list(fast.buffers())
    weights = list(fast.parameters())
    assert len({w.untyped_storage()._cdata for w in weights}) == len(weights)
    assert all(w.untyped_storage().nbytes() == w.nbytes for w in weights)
    assert sum(w.numel() for w in weights) < 1.3 * sum(w.numel() for w in plain.parameters())


def flops(*layers: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        for layer in layers:
            x = layer(x)
    return counter.get_total_flops()


def test_products_are_spared() -> None:
    """4 of 9 remain (and a row and a column more at the border), and none of the 1x1 convolution before them."""
    split, conv = SplitFrames(6, 2), nn.Conv2d(6, 4, 3, padding=1, bias=False)
    x = noise(1, 3, 6, 16, 16, dtype=torch.float32)
    doubled = nn.functional.interpolate(x, scale_factor=(1, 2, 2))
    plain = flops(split, nn.Flatten(0, 1), conv, x=doubled)
    assert flops(SplitUpConv(split, conv), x=x) < 4 / 9 * plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("frames", [1, 3])
def test_pictures_stay_channels_last(dtype: torch.dtype, frames: int) -> None:
    """No convolution is given another layout, which it would have to turn around; latents and pixels are as given."""
    _, fast = pair_of(dtype=dtype)
    found: dict[str, bool] = {}
    for name, module in fast.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(
                lambda _module, inputs, name=name: found.update({name: is_channels_last(inputs[0])})
            )
    fast.encode(fast.decode(noise(1, 4, frames, 6, 5)))
    assert len(found) == 17 + 14
    assert [name for name, fine in found.items() if not fine] == ["decoder.0.1", "encoder.0"]


def is_channels_last(x: Tensor) -> bool:
    return x.flatten(0, -4).is_contiguous(memory_format=torch.channels_last)


def test_products_of_weights_are_rounded_once() -> None:
    split, conv = SplitFrames(6, 2).bfloat16(), nn.Conv2d(6, 4, 3, padding=1, bias=False).bfloat16()
    halving = nn.Conv2d(6, 6, 3, stride=2, padding=1, bias=False).bfloat16()
    join = JoinFrames(6, 2).bfloat16()
    by_bfloat16 = SplitUpConv(split, conv).weight, JoinConv(join, halving).conv.weight
    by_float64 = (
        SplitUpConv(split.double(), conv.double()).weight,
        JoinConv(join.double(), halving.double()).conv.weight,
    )
    for made, exact in zip(by_bfloat16, by_float64, strict=True):
        assert torch.equal(made, exact.bfloat16())


def test_bfloat16_is_as_near_as_the_plain_one() -> None:
    """Some 17 layers of 8 bits; weights that were multiplied in float64 round once."""
    exact, _ = pair_of(dtype=torch.float32)
    plain = copy.deepcopy(exact).bfloat16()
    fast = copy.deepcopy(plain)
    make_light_fast(fast)
    latents = noise(1, 4, 5, 8, 8, dtype=torch.float32)
    wanted, by_plain, by_fast = (codec.decode(latents) for codec in (exact, plain, fast))
    errors = [((out - wanted).norm() / wanted.norm()).item() for out in (by_plain, by_fast)]
    assert errors[1] < 2e-2
    assert errors[1] < 1.5 * errors[0]


def kinds(codec: object) -> Iterator[bool]:
    """Whether it has a joined light decoder, and joined layers of the Wan VAE."""
    assert isinstance(codec, nn.Module)
    for kind in (FastDecoder, NormSiluConv):
        yield any(isinstance(module, kind) for module in codec.modules())


@pytest.mark.parametrize("on", [False, True])
def test_a_config_asks_for_it(on: bool, tiny_config: Config, tiny_wan_config: Config) -> None:
    light = with_changes(TINY, latent_channels=16, latent_mean=(), pixel_patch=1, encoder_blocks=(1, 1, 2))
    preview = {"runtime.decoder": "preview", "model.preview_codec": to_tree(light)}
    configs = [tiny_config, tiny_wan_config, replace(tiny_wan_config, preview)]
    codecs = [build_networks(replace(config, {"runtime.fused_codec": on})).codec for config in configs]
    assert isinstance(codecs[2], PreviewCodec)
    assert [tuple(kinds(codec)) for codec in codecs] == [(on, False), (False, on), (on, on)]


def test_the_default_cpu_config_asks_for_it() -> None:
    assert load_config("cpu").runtime.fused_codec


def test_a_plan_knows_what_it_spares(tiny_config: Config) -> None:
    plans = [plan(replace(tiny_config, {"runtime.device": "cpu", "runtime.fused_codec": on})) for on in (False, True)]
    plain, fast = ({stage.name: stage.work for stage in made.stages}["decode"] for made in plans)
    assert fast.conv < 0.8 * plain.conv


@pytest.mark.gpu
def test_decoding_on_a_gpu() -> None:
    """bfloat16, some 30 layers: both ways are within a few per cent of float32, the joined one no farther."""
    torch.manual_seed(0)
    exact = LightCodec(LightCodecConfig(decoder_widths=(64, 48, 32, 32))).cuda().eval().requires_grad_(False)
    plain = copy.deepcopy(exact).bfloat16().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fast = copy.deepcopy(plain)
    make_light_fast(fast)
    latents = torch.randn(1, 16, 5, 8, 10, device="cuda")
    with torch.inference_mode():
        wanted, by_plain, by_fast = (codec.decode(latents) for codec in (exact, plain, fast))
    errors = [((out - wanted).norm() / wanted.norm()).item() for out in (by_plain, by_fast)]
    assert errors[1] < 5e-2
    assert errors[1] < 1.5 * errors[0] + 1e-3
