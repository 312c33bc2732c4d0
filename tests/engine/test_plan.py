"""Plans: equal to hand counts and to the published figures, made of the real code, and without any weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn

from flashtalk.config import Config, RuntimeConfig
from flashtalk.config_file import CONFIG_ROOT, config_names, load_config, replace
from flashtalk.engine.build import build_networks
from flashtalk.engine.plan import Plan, legal_sizes, plan
from flashtalk.engine.rates import REFERENCE_GPU, DeviceRates, Measured, Rates, probe, rates_for
from flashtalk.engine.work import Work, WorkCounter
from flashtalk.errors import ConfigError
from flashtalk.ops.attention import BACKENDS
from tests.peak_memory import peak_memory

META = torch.device("meta")
TOKENS = 9 * 4 * 4
"""Of the tiny models: 9 latent frames of 8x8 cells in patches of 2x2."""
ON_GPU = {"runtime.device": "cuda", "runtime.dtype": "bfloat16"}


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="module")
def tiny(tiny_config: Config) -> Plan:
    return plan(tiny_config)


# Counting.


def counted(computation: object) -> Work:
    with torch.no_grad(), WorkCounter() as counter, counter.span("it"):
        computation()  # type: ignore[operator]
    return counter.stages["it"]


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device=META)


def test_products_are_counted() -> None:
    with META:
        linear, conv, strided = nn.Linear(5, 7), nn.Conv3d(2, 3, (1, 3, 3), padding=(0, 1, 1)), nn.Conv2d(2, 3, 2, 2)
    assert counted(lambda: linear(empty(11, 5))).linear == 2 * 11 * 5 * 7
    assert counted(lambda: empty(4, 11, 5) @ empty(4, 5, 7)).linear == 4 * 2 * 11 * 5 * 7
    assert counted(lambda: conv(empty(1, 2, 4, 6, 6))).conv == 2 * (4 * 6 * 6) * 3 * 2 * 9
    assert counted(lambda: strided(empty(1, 2, 6, 6))).conv == 2 * (3 * 3) * 3 * 2 * 4


def test_attention_holds_no_scores() -> None:
    work = counted(lambda: F.scaled_dot_product_attention(empty(2, 3, 50, 8), empty(2, 3, 20, 8), empty(2, 3, 20, 8)))
    assert work.attention == 2 * 2 * 3 * 50 * 20 * (8 + 8)
    assert work.linear == 0
    assert work.peak_bytes == 4 * 2 * 3 * 8 * (50 + 20 + 20 + 50)


def test_attention_in_8_bits_is_counted_apart() -> None:
    attend = BACKENDS["fp8"].load()
    work = counted(lambda: attend(empty(2, 50, 3, 8), empty(2, 20, 3, 8), empty(2, 20, 3, 8)))
    assert work.attention8 == work.flops == 2 * 2 * 3 * 50 * 20 * (8 + 8)
    assert work.peak_bytes == 4 * 2 * 3 * 8 * (50 + 20 + 20 + 50)


def test_memory_is_what_is_alive_at_one_time() -> None:
    def chain() -> None:
        x = empty(1000)
        for _ in range(5):
            x = x + 1

    assert counted(chain).peak_bytes == 2 * 4000
    assert counted(lambda: [empty(1000) for _ in range(5)]).peak_bytes == 5 * 4000


def test_views_cost_nothing() -> None:
    weight = empty(100, 10)
    for view in (weight.t, weight[3:].flatten, lambda: weight.view(10, 100).expand(3, 10, 100), weight.detach):
        assert counted(view) == Work()


def test_other_operations_move_bytes() -> None:
    a, b = empty(1000), empty(1000)
    assert counted(lambda: a + b).moved_bytes == 3 * 4000
    assert counted(lambda: a.expand(50, 1000).sum()).moved_bytes == 4000 + 4
    assert counted(lambda: a.add_(b)).moved_bytes == 3 * 4000


def test_what_compiled_programs_still_move() -> None:
    with META:
        linear = nn.Linear(10, 10, bias=False)
    work = counted(lambda: linear(F.gelu(linear(empty(7, 10)) + 1)))
    assert work.handed_bytes == 4 * (2 * 7 * 10 * 2)


def test_stages_are_kept_apart() -> None:
    with torch.no_grad(), WorkCounter() as counter, counter.span("outer"):
        held = empty(3, 4) @ empty(4, 5)
        with counter.span("inner"):
            empty(3, 4) @ empty(4, 5)
        empty(3, 4) @ empty(4, 5)
    assert counter.stages["outer"].linear == 2 * counter.stages["inner"].linear == 2 * 2 * 3 * 4 * 5
    assert counter.stages["inner"].peak_bytes >= held.nbytes + 4 * (12 + 20)


def test_work_adds_up() -> None:
    a, b = Work(1, 2, 3, 4, 5, 60), Work(10, 20, 30, 40, 50, 6)
    assert a + b == Work(11, 22, 33, 44, 55, 60)
    assert a.times(3) == Work(3, 6, 9, 12, 15, 60)
    assert a.flops == 6


# A plan.


def test_a_step_is_what_the_formula_says(tiny: Plan) -> None:
    dit = tiny.config.model.dit
    width, context_rows = dit.dim, dit.text_len + 1 + (32 // 16) ** 2
    projections = 8 * 2 * TOKENS * width**2 + 2 * 2 * TOKENS * width * dit.ffn_dim
    assert tiny.step.linear == dit.num_layers * projections + 2 * TOKENS * width * 4 * dit.latent_channels
    assert tiny.step.attention == dit.num_layers * 4 * TOKENS * width * (TOKENS + context_rows + dit.audio_tokens)
    assert tiny.step.conv == 2 * TOKENS * width * 4 * dit.in_channels
    assert tiny.size.tokens == TOKENS


def test_memory_is_what_the_formulas_say(tiny: Plan, tiny_config: Config) -> None:
    networks = build_networks(tiny_config)
    dit, memory = tiny_config.model.dit, tiny.memory
    weights = {name: sum(p.nbytes for p in module.parameters()) for name, module in networks.modules()}
    assert memory.weights == weights
    assert tiny.parameters == sum(p.numel() for _, module in networks.modules() for p in module.parameters())
    rows = dit.text_len + 5
    latents = (4 + 8) * 9 * 8 * 8 + 8 * 8 * 8 + 5 * 32 + 16 * 24
    assert memory.session == 4 * (dit.num_layers * 2 * rows * dit.dim + latents)
    assert memory.sound == 4 * dit.num_layers * 2 * 9 * dit.audio_tokens * dit.dim
    assert memory.peak == sum(weights.values()) + memory.session + max(memory.work.values())
    assert memory.work["denoise"] > memory.sound + 4 * TOKENS * dit.dim
    frames = 28 * 64 * 64 * 3
    assert memory.work["host"] > 4 * frames + frames


def test_the_published_model_at_the_papers_size() -> None:
    """And nothing of the size of its weights was in memory."""
    plain = {"runtime.fused_qkv": False, "runtime.folded_audio": False, "runtime.fused_codec": False}
    config = load_config("h200x1", plain)
    with peak_memory() as peak:
        made = plan(config, REFERENCE_GPU)
    assert sum(made.memory.weights.values()) > 40e9
    assert peak[0] < 0.5e9
    stages = {stage.name: stage.work.flops / 1e12 for stage in made.stages}
    assert made.size.tokens == 10530
    assert made.step.flops / 1e12 == pytest.approx(394, rel=0.01)
    assert made.step.linear / 1e12 == pytest.approx(295.9, rel=0.01)
    assert stages["denoise"] == pytest.approx(4 * 394, rel=0.01)
    assert stages["decode"] == pytest.approx(84.5, rel=0.03)
    assert stages["encode"] == pytest.approx(8.05, rel=0.03)
    assert made.memory.weights["dit"] == pytest.approx(2 * 18.88e9, rel=0.02)
    assert made.fits
    assert 5 < made.fps < 25
    assert made.first_sound_s == 1.12


def test_steps_and_half_precision_scale(tiny: Plan, tiny_config: Config) -> None:
    half = plan(replace(tiny_config, {"stream.steps": 2, **ON_GPU}))
    assert half.step.flops == tiny.step.flops
    works = [{stage.name: stage.work.flops for stage in made.stages} for made in (tiny, half)]
    assert works[0]["denoise"] - works[1]["denoise"] == 2 * tiny.step.flops
    assert works[0]["decode"] == works[1]["decode"]
    assert half.memory.weights["text_encoder"] * 2 == tiny.memory.weights["text_encoder"]
    assert half.memory.weights["audio_encoder"] == tiny.memory.weights["audio_encoder"]
    assert half.memory.sound * 2 == tiny.memory.sound


def test_a_short_first_chunk_starts_sooner(tiny: Plan, tiny_config: Config) -> None:
    short = plan(replace(tiny_config, {"stream.first_chunk_frames": 17, "stream.lookahead_frames": 5, **ON_GPU}))
    assert short.first_sound_s == (17 - 5 + 5) / 25
    assert short.first_chunk_s < short.chunk_s
    assert short.first_frame_s == short.first_sound_s + short.first_chunk_s
    assert tiny.first_sound_s == 28 / 25
    assert tiny.first_chunk_s == tiny.chunk_s


def test_figures_follow_from_each_other(tiny: Plan) -> None:
    assert tiny.fps == pytest.approx(28 / sum(stage.seconds for stage in tiny.stages))
    assert all(stage.seconds > 0 for stage in tiny.stages)
    small = Measured(value=tiny.memory.peak / 2**30 * 1.05, source="", date="")
    assert tiny.fits
    assert not dataclasses.replace(tiny, device=dataclasses.replace(tiny.device, memory_gib=small)).fits


def test_the_preview_decoder_is_planned(tiny_wan_config: Config) -> None:
    light = {"kind": "light", "encoder_width": 8, "decoder_widths": [8, 8, 8, 8]}
    config = replace(tiny_wan_config, {"model.preview_codec": light, **ON_GPU})
    exact, preview = (plan(replace(config, {"runtime.decoder": decoder})) for decoder in ("exact", "preview"))
    flops = [{stage.name: stage.work.flops for stage in made.stages} for made in (exact, preview)]
    assert flops[1]["decode"] < flops[0]["decode"]
    assert flops[1] | {"decode": 0} == flops[0] | {"decode": 0}
    assert preview.memory.weights["codec"] > exact.memory.weights["codec"]


def test_compiled_blocks_move_less(tiny_config: Config) -> None:
    config = replace(tiny_config, ON_GPU)
    plain, compiled = (plan(replace(config, {"runtime.compile": on})) for on in (False, True))
    assert compiled.step == plain.step
    saved_bytes = 4 * (plain.step.moved_bytes - plain.step.handed_bytes)
    assert plain.chunk_s - compiled.chunk_s == pytest.approx(saved_bytes / 4.3e12)


@pytest.mark.parametrize(("ranks", "ulysses", "tensors"), [(1, 1, 0), (2, 2, 2), (4, 2, 4), (4, 1, 6)])
def test_what_ranks_exchange_takes_time(tiny: Plan, ranks: int, ulysses: int, tensors: int) -> None:
    """Queries, keys, values and results without the part that stays; around a ring, keys and values to each other."""
    alone = replace(tiny.config, ON_GPU)
    several = replace(alone, {"parallel.ranks": ranks, "parallel.ulysses_degree": ulysses})
    one, each = (plan(config, REFERENCE_GPU) for config in (alone, several))
    whole_s, share_s = ({s.name: s.seconds for s in made.stages}["denoise"] for made in (one, each))
    rate, dit = one.device.exchange_gb_s, alone.model.dit
    assert rate is not None
    sent_bytes = 4 * tensors * dit.num_layers * TOKENS / ranks * dit.dim * 2
    assert share_s - whole_s / ranks == pytest.approx(sent_bytes / rate.value / 1e9)


@pytest.mark.parametrize("name", ["flashtalk-14b", "small"])
def test_legal_sizes_are_legal(name: str) -> None:
    config = load_config("cpu", {"model": name})
    for aspect, sizes in legal_sizes(config.model, config.stream.chunk_frames).items():
        width, height = map(int, aspect.split(":"))
        assert len(sizes) >= 5
        for size in sizes:
            chosen = replace(config, {"stream.width": size.width, "stream.height": size.height})
            assert size.width / size.height == pytest.approx(width / height, rel=0.1)
            stride = chosen.model.codec.spatial_stride * 2
            assert size.tokens == 9 * (size.width // stride) * (size.height // stride)


# Devices.


@pytest.mark.parametrize("file", sorted((CONFIG_ROOT / "devices").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_number_of_a_device_says_where_it_is_from(file: Path) -> None:
    device, _, _ = rates_for(RuntimeConfig(), file.stem)
    assert device.name == file.stem
    assert device.matches
    tree = yaml.safe_load(file.read_text())
    numbers = [tree[name] for name in ("memory_gib", "copy_tb_s", "exchange_gb_s") if name in tree]
    numbers += tree.get("bfloat16", {}).values()
    assert all(number["value"] > 0 and number["source"] and number["date"] for number in numbers)


def test_seconds_are_work_by_rate() -> None:
    def of(value: float) -> Measured:
        return Measured(value=value, source="", date="")

    rates = Rates(linear=of(2), attention=of(4), conv=of(8))
    device = DeviceRates(name="x", memory_gib=of(1), copy_tb_s=of(10), bfloat16=rates)
    work = Work(linear=10**12, attention=10**12, conv=10**12, moved_bytes=10**12, handed_bytes=10**11)
    assert device.seconds(work, torch.bfloat16) == pytest.approx(1 / 2 + 1 / 4 + 1 / 8 + 1 / 10)
    assert device.seconds(work, torch.bfloat16, compiled=True) == pytest.approx(1 / 2 + 1 / 4 + 1 / 8 + 1 / 100)
    with pytest.raises(ConfigError, match=r"nobody measured 8-bit attention on x; use runtime\.attention: auto"):
        device.seconds(Work(attention8=1), torch.bfloat16)
    faster = dataclasses.replace(device, bfloat16=dataclasses.replace(rates, attention8=of(5)))
    assert faster.seconds(Work(attention8=10**12), torch.bfloat16) == pytest.approx(1 / 5)
    with pytest.raises(ConfigError, match="nobody measured x in float32"):
        device.seconds(work, torch.float32)


def test_which_device_is_meant() -> None:
    device, dtype, found = rates_for(RuntimeConfig(device="cuda"))
    assert (device.name, dtype) == (REFERENCE_GPU, torch.bfloat16)
    assert "no GPU" in found
    threads = torch.get_num_threads()
    device, dtype, found = rates_for(RuntimeConfig(device="cpu", dtype="float32", threads=threads + 1))
    assert torch.get_num_threads() == threads
    assert (device.name, dtype) == ("cpu", torch.float32)
    assert "measured now" in found
    with pytest.raises(ConfigError, match=r"no device 'abacus' in configs/devices; known are .*h200"):
        rates_for(RuntimeConfig(), "abacus")
    assert config_names("devices")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_probe_measures(dtype: torch.dtype) -> None:
    device = probe(torch.device("cpu"), dtype)
    rates = device.rates(dtype)
    for rate in (rates.linear, rates.attention, rates.conv, device.copy_tb_s):
        assert 0 < rate.value < 100
        assert rate.date == "measured now"
    assert device.memory_gib.value > 0.5
