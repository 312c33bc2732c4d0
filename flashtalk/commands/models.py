"""`flashtalk models`: what configs/models holds, and which serve configs use it with which weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table

from flashtalk.commands.weights import find_weights
from flashtalk.config import Config, ModelConfig
from flashtalk.config_file import config_names, load_config, load_model_config
from flashtalk.models.build import build_models_on_meta, named_modules


@dataclass(frozen=True)
class KnownModel:
    """One file of configs/models; `weights` says for each serve config that uses it where they are."""

    name: str
    parameters: int
    dit_parameters: int
    licence: str
    source: str
    weights: dict[str, str]


def known_models() -> list[KnownModel]:
    """All of them, by name; parameters are counted without memory for any. Raises ConfigError."""
    serve = {name: load_config(name) for name in config_names("serve")}
    return [_known(load_model_config(file), serve) for file in config_names("models")]


def models_tables(known: list[KnownModel]) -> Group:
    """The models, and below them the serve configs with their weights."""
    models = _table("model", "parameters", "of them DiT", "licence", "source")
    configs = _table("serve config", "model", "weights")
    for model in known:
        counts = (count_words(model.parameters), count_words(model.dit_parameters))
        models.add_row(model.name, *counts, model.licence, model.source)
        for name, words in model.weights.items():
            configs.add_row(name, model.name, words)
    return Group(models, configs)


def _known(model: ModelConfig, serve: Mapping[str, Config]) -> KnownModel:
    counts = {
        name: sum(parameter.numel() for parameter in module.parameters())
        for name, module in named_modules(build_models_on_meta(model))
    }
    users = {name: config for name, config in serve.items() if config.model.name == model.name}
    weights = {name: find_weights(config.checkpoint).words for name, config in users.items()}
    return KnownModel(model.name, sum(counts.values()), counts["dit"], model.licence, model.source, weights)


def _table(*headings: str) -> Table:
    table = Table(*headings, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    return table


def count_words(number: int) -> str:
    """`38.2M`, `14.1B`."""
    return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.1f}M"
