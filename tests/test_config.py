"""flashtalk/config.py and config_file.py: who has the last word, what is refused, and in which words."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flashtalk import config_file
from flashtalk.config import (
    DEFAULT_SERVE_CONFIG,
    CheckpointConfig,
    Config,
    DiTConfig,
    LightCodecConfig,
    ModelConfig,
    StreamConfig,
    WanVAEConfig,
    snap,
)
from flashtalk.config_file import config_names, from_tree, load_config, load_model_config, replace, to_tree
from flashtalk.errors import ConfigError
from tests.source import demand

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a serve config and says where it is."""

    def to_file(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def complaints(action: Callable[[], object]) -> list[str]:
    """The bullet points of the ConfigError that `action` raises."""
    with pytest.raises(ConfigError) as caught:
        action()
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines() if line.startswith("  - ")]


# Override > file > default.


def test_default_when_nobody_says(write: Write) -> None:
    assert load_config(write("model: small")).stream == StreamConfig()


def test_file_before_default(write: Write) -> None:
    stream = load_config(write("{model: small, stream: {seed: 7}}")).stream
    assert stream == StreamConfig(seed=7)


def test_override_before_file(write: Write) -> None:
    path = write("{model: small, stream: {seed: 7, steps: 2}}")
    assert load_config(path, {"stream.seed": 8}).stream == StreamConfig(seed=8, steps=2)


def test_override_reaches_into_the_model(write: Write) -> None:
    path = write("model: small")
    changed = load_config(path, {"model.dit.num_layers": 3}).model
    assert changed.dit == dataclasses.replace(load_config(path).model.dit, num_layers=3)


def test_override_chooses_the_model(write: Write) -> None:
    path = write("model: small")
    assert load_config(path, {"model": "flashtalk-14b"}).model == load_model_config("flashtalk-14b")
    chosen = load_config(path, {"model.name": "mine", "model": "flashtalk-14b"}).model
    assert (chosen.name, chosen.dit) == ("mine", DiTConfig())


def test_overrides_are_only_read(write: Write, tiny_config: Config) -> None:
    model = to_tree(tiny_config.model)
    overrides = {"model": model, "model.name": "other"}
    assert load_config(write("model: small"), overrides).model.name == "other"
    assert overrides == {"model": model, "model.name": "other"}
    assert model["name"] == "tiny"


def test_model_may_stand_in_the_file(write: Write, tiny_config: Config) -> None:
    text = yaml.safe_dump({"model": to_tree(tiny_config.model), "stream": {"width": 64, "height": 64}})
    assert load_config(write(text)).model == tiny_config.model


def test_default_config_is_shipped() -> None:
    assert DEFAULT_SERVE_CONFIG in config_names("serve")
    assert load_config() == load_config(DEFAULT_SERVE_CONFIG)
    assert config_names("models") == sorted(config_names("models"))


# There and back.


@pytest.mark.parametrize("name", config_names("serve"))
def test_tree_round_trip(name: str) -> None:
    config = load_config(name)
    assert from_tree(Config, to_tree(config)) == config
    assert from_tree(Config, yaml.safe_load(yaml.safe_dump(to_tree(config)))) == config


def test_tree_is_plain(tiny_wan_config: Config) -> None:
    def kinds(tree: object) -> Iterator[type]:
        yield type(tree)
        for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
            yield from kinds(item)

    assert set(kinds(to_tree(tiny_wan_config))) <= {dict, list, str, int, float, bool, type(None)}


def test_replace_copies(tiny_config: Config) -> None:
    changed = replace(tiny_config, {"stream.steps": 2})
    assert (changed.stream.steps, tiny_config.stream.steps) == (2, 4)
    assert replace(changed, {"stream.steps": 4}) == tiny_config


def test_replace_checks(tiny_config: Config) -> None:
    with pytest.raises(ConfigError, match=r"stream\.steps 3"):
        replace(tiny_config, {"stream.steps": 3})


def test_configs_are_frozen(tiny_config: Config) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_config.stream.steps = 2  # type: ignore[misc]


# Unions go by kind.


@pytest.mark.parametrize("codec", [WanVAEConfig(base_dim=8), LightCodecConfig(encoder_width=8)])
def test_codec_is_chosen_by_kind(codec: WanVAEConfig | LightCodecConfig) -> None:
    model = ModelConfig(name="mine", codec=codec)
    assert from_tree(ModelConfig, to_tree(model)).codec == codec


def test_first_kind_is_the_default() -> None:
    assert from_tree(ModelConfig, {"name": "mine", "codec": {"base_dim": 8}}).codec == WanVAEConfig(base_dim=8)


def test_optional_section() -> None:
    assert from_tree(ModelConfig, {"name": "mine", "preview_codec": None}).preview_codec is None
    assert from_tree(ModelConfig, {"name": "mine", "preview_codec": {}}).preview_codec == LightCodecConfig()


# What is refused: a setting, a value, and words that the complaint must hold. All else is the default of a model "x".

REFUSED = (
    ("stream.hight", 256, r"'stream\.hight' .* did you mean 'stream\.height'\?"),
    ("runtime.zzz", 1, r"'runtime\.zzz' is not a setting; known: .*device, dtype, attention"),
    ("steam", {}, r"'steam' .* did you mean 'stream'\?"),
    ("model.dit.dimm", 8, r"did you mean 'model\.dit\.dim'\?"),
    ("model.codec", {"kind": "light", "base_dim": 8}, r"'model\.codec\.base_dim' is not a setting"),
    ("model", {}, r"'model\.name' is missing"),
    ("stream", 4, r"stream.* mapping of settings, not 4"),
    ("stream.steps", "four", r"'stream\.steps' is 'four'; it must be int"),
    ("stream.steps", 4.0, r"'stream\.steps' is 4\.0; it must be int"),
    ("stream.seed", True, r"'stream\.seed' is True; it must be int"),
    ("stream.shift", True, r"'stream\.shift' is True; it must be float"),
    ("stream.shift", None, r"'stream\.shift' is None; it must be float"),
    ("runtime.compile", 1, r"'runtime\.compile' is 1; it must be bool"),
    ("runtime.device", 0, r"'runtime\.device' is 0; it must be str"),
    ("runtime.dtype", "fp8", r"'runtime\.dtype' is 'fp8'; it must be one of auto, float32, bfloat16"),
    ("model.codec", {"kind": "huge"}, r"'model\.codec\.kind' is 'huge'; it must be one of wan, light"),
    ("model.distilled_steps", 4, r"'model\.distilled_steps' is 4; it must be a list"),
    ("model.distilled_steps", [4, "2"], r"'model\.distilled_steps\[1\]' is '2'; it must be int"),
    ("model.dit.patch_size", [1, 2], r"'model\.dit\.patch_size' is \[1, 2\]; it must be a list of 3"),
    ("stream.width", 250, r"250x256: width must be a multiple of 16 .* nearest is 256x256"),
    ("stream.height", 8, r"256x8: .* nearest is 256x16"),
    ("stream.chunk_frames", 36, r"stream\.chunk_frames 36 must be 1 more than a multiple of 4"),
    ("stream.first_chunk_frames", 37, r"stream\.first_chunk_frames 37 must not exceed chunk_frames"),
    ("stream.motion_frames", 33, r"stream\.motion_frames 33 must be at most half of a chunk's frames"),
    ("stream.steps", 3, r"stream\.steps 3: x was distilled for 4, 2 steps only"),
    ("stream.fps", 24, r"stream\.sample_rate 16000 and fps 24 must be 16000 and 25: so the networks were trained"),
    ("stream.sample_rate", 48000, r"stream\.sample_rate 48000 and fps 25 must be 16000 and 25"),
    ("stream.colour_strength", 1.5, r"stream\.colour_strength 1\.5 must lie in 0\.\.1"),
    ("stream.lookahead_frames", -1, r"stream\.lookahead_frames -1 must not be negative"),
    ("stream.audio_context_s", 1.0, r"stream\.audio_context_s 1\.0 must .* hold a chunk .* \(33 frames at 25 fps\)"),
    ("runtime.decoder", "preview", r"decoder is preview, but x has no preview_codec beside a codec of kind wan"),
    ("stream.audio_context_s", 8.01, r"stream\.audio_context_s 8\.01 must be a whole number of frames"),
    ("model.dit.num_heads", 3, r"model\.dit\.dim 5120 must be an even multiple of num_heads 3"),
    ("model.dit.num_heads", 1024, r"model\.dit\.dim 5120 must be an even multiple of num_heads 1024"),
    ("model.dit.audio_window", 4, r"model\.dit\.audio_window 4 must be odd"),
    ("model.dit.patch_size", [2, 2, 2], r"model\.dit\.patch_size \(2, 2, 2\) must not join latent frames"),
    ("model.codec.dim_mult", [1, 2], r"model\.codec\.dim_mult \(1, 2\) needs one entry more"),
    ("model.codec.latent_mean", [0.0], r"model\.codec\.latent_mean .* must have latent_channels = 16"),
    ("model.codec", {"kind": "light", "latent_std": [1.0]}, r"latent_std must be empty or have latent_channels = 16"),
    ("model.codec.latent_channels", 8, r"model\.codec\.latent_channels is 8, but dit\.latent_channels is 16"),
    ("model.dit.temporal_stride", 8, r"model\.codec\.temporal_stride is 4, but dit\.temporal_stride is 8"),
    ("model.text_encoder.dim", 64, r"model\.text_encoder\.dim is 64, but dit\.text_dim is 4096"),
    ("model.text_encoder.max_tokens", 64, r"model\.text_encoder\.max_tokens is 64, but dit\.text_len is 512"),
    ("model.image_encoder.dim", 64, r"model\.image_encoder\.dim is 64, but dit\.image_dim is 1280"),
    ("model.audio_encoder.hidden_size", 64, r"model\.audio_encoder\.hidden_size is 64, but dit\.audio_dim is 768"),
    ("model.audio_encoder.num_layers", 4, r"model\.audio_encoder\.num_layers is 4, but dit\.audio_layers is 12"),
)


@pytest.mark.parametrize(("setting", "value", "words"), REFUSED, ids=[f"{name}={value}" for name, value, _ in REFUSED])
def test_refused(setting: str, value: object, words: str) -> None:
    lines = complaints(lambda: replace(Config(model=ModelConfig(name="x")), {setting: value}))
    assert [line for line in lines if re.search(words, line)], lines


def test_model_is_missing(write: Write) -> None:
    assert complaints(lambda: load_config(write("stream: {}"))) == ["'model' is missing"]
    assert complaints(lambda: from_tree(Config, {})) == ["'model' is missing"]


def test_all_misspellings_and_types_are_told_at_once(write: Write) -> None:
    path = write("{model: small, strem: {}, stream: {hight: 1, steps: x}, runtime: {dtype: fp8}}")
    lines = complaints(lambda: load_config(path, {"stream.seed": "many"}))
    assert [line.split("'")[1] for line in lines] == [
        "strem", "stream.hight", "stream.steps", "stream.seed", "runtime.dtype",
    ]  # fmt: skip


def test_all_contradictions_are_told_at_once(write: Write) -> None:
    path = write("{model: small, stream: {steps: 3, width: 100, colour_strength: 2.0, lookahead_frames: -1}}")
    lines = complaints(lambda: load_config(path, {"model.dit.audio_window": 4}))
    assert len(lines) == 5
    for word in ("steps 3", "100x256", "colour_strength 2.0", "lookahead_frames -1", "audio_window 4"):
        assert any(word in line for line in lines), word


def test_unknown_file_lists_the_known() -> None:
    with pytest.raises(ConfigError, match=r"no config 'cqu'.* cpu.* in configs/serve"):
        load_config("cqu")
    with pytest.raises(ConfigError, match=r"no config 'huge'.* small.* in configs/models"):
        load_config(overrides={"model": "huge"})


@pytest.mark.parametrize("text", ["", "- model", "small", "3"])
def test_file_without_settings(write: Write, text: str) -> None:
    with pytest.raises(ConfigError, match=r"mine\.yaml must hold a mapping of settings"):
        load_config(write(text))


@pytest.mark.parametrize("content", [b"model: [", b"a: b: c", b"\xff\xfe\x00", b"model: !!python/object:os.system {}"])
def test_file_that_is_no_yaml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine\.yaml is not valid YAML") as caught:
        load_config(path)
    assert str(tmp_path) not in str(caught.value)


def test_override_below_a_value(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"cannot set 'stream\.steps\.more': 'steps' is 4, not a section"):
        load_config(write("{model: small, stream: {steps: 4}}"), {"stream.steps.more": 1})


# Laws over all settings.

ODD_VALUES = (
    *(None, True, 0, -1, 1, 10**9, 0.0, -0.5, math.nan, math.inf, "", "light"),
    *([], [0], [True], [0, 0, 0], ["x", {}], {}, {"kind": "light"}, {1: 2}),
)
SIZES = ("stream.fps", "stream.sample_rate", "stream.chunk_frames", "stream.steps", "stream.shift", "runtime.threads")


def settings(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names of sections and values, with what stands there."""
    for name, value in tree.items():
        yield path + name, value
        if isinstance(value, dict):
            yield from settings(value, f"{path}{name}.")


def outcome(config: Config, setting: str, value: object) -> str:
    """In a word, what becomes of a value: taken, refused, or what went wrong."""
    try:
        changed = replace(config, {setting: value})
    except ConfigError:
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "taken" if from_tree(Config, to_tree(changed)) == changed else "lost on the way to a tree and back"


def test_any_value_anywhere_is_taken_or_refused(tiny_config: Config, tiny_wan_config: Config) -> None:
    names = [(tiny_config, name) for name, _ in settings(to_tree(tiny_config))]
    names += [
        (tiny_wan_config, f"model.{name}") for name, _ in settings({"codec": to_tree(tiny_wan_config.model.codec)})
    ]
    results = ((name, value, outcome(config, name, value)) for config, name in names for value in ODD_VALUES)
    wrong = [f"{name} = {value}: {result}" for name, value, result in results if result not in ("taken", "refused")]
    demand("A setting is taken or refused with a ConfigError:", wrong)


def test_sizes_are_positive(tiny_config: Config, tiny_wan_config: Config) -> None:
    def broken(config: Config) -> Iterator[str]:
        for name, value in settings(to_tree(config)):
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if name in SIZES or (name.startswith("model.") and is_number):
                yield from (f"{name} = {bad}" for bad in (0, -1) if outcome(config, name, bad) == "taken")

    demand("A size must be greater than 0:", [*broken(tiny_config), *broken(tiny_wan_config)])


def test_numbers_are_finite(tiny_config: Config) -> None:
    names = [name for name, value in settings(to_tree(tiny_config)) if isinstance(value, float)]
    assert "stream.shift" in names
    taken = [name for name in names for bad in (math.nan, math.inf) if outcome(tiny_config, name, bad) == "taken"]
    demand("A number must be finite:", taken)


@given(st.integers(-1000, 10_000), st.integers(1, 64))
def test_snap_is_the_nearest_positive_multiple(length: int, multiple: int) -> None:
    near = snap(length, multiple)
    assert near > 0
    assert near % multiple == 0
    assert near == multiple or abs(near - length) * 2 <= multiple


def test_published_sizes() -> None:
    """What the published 14B must come to."""
    model = load_model_config("flashtalk-14b")
    assert (model.dit.in_channels, model.dit.head_dim) == (36, 128)
    assert (model.codec.spatial_stride, model.codec.temporal_stride) == (8, 4)
    assert model.size_multiple == (16, 16)
    assert StreamConfig().samples_per_frame * 28 == 17920


def test_weights_are_verified_unless_said_otherwise() -> None:
    assert CheckpointConfig() == CheckpointConfig(source=None, revision=None, verify="sha256")
    assert config_file.CONFIG_ROOT.name == "configs"
