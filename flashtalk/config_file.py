"""YAML -> Config: unknown keys are refused with the nearest name, all problems are told at once.

Order of say: override (command line) > file > default. Used by the command line, the app and the tests.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from flashtalk.config import DEFAULT_SERVE_CONFIG, Config, ModelConfig
from flashtalk.config_app import ServingConfig
from flashtalk.config_codec import LightCodecConfig
from flashtalk.config_parallel import ParallelConfig
from flashtalk.errors import ConfigError

T = TypeVar("T")
MAY_BE_ZERO = [
    "seed",
    "init_seed",
    "lookahead_frames",
    "bridge_frames",
    "line",
    "colour_strength",
    "loudness_lufs",
    "latent_mean",
    "latent_std",
]
"""Numbers that may be 0 or less; all others are sizes."""
CONFIG_ROOT = Path(__file__).resolve().parent.parent / "configs"


def load_config(path: str | Path = DEFAULT_SERVE_CONFIG, overrides: Mapping[str, object] | None = None) -> Config:
    """Read a serve config: a path, or the name of a file in configs/serve.

    `overrides` maps dotted names ("stream.steps") to values. Raises ConfigError with every problem found.
    """
    return load_as(Config, path, "serve", overrides)


def load_as(cls: type[T], path: str | Path, folder: str, overrides: Mapping[str, object] | None = None) -> T:
    """Read any kind of config that names or holds a `model`: a path, or the name of a file in configs/<folder>."""
    tree = _laid_over(_read_yaml(_find(path, folder)), overrides or {})
    return _checked(_Parser().parse(cls, tree, ""))


def load_model_config(path: str | Path) -> ModelConfig:
    """Read a model config: a path, or the name of a file in configs/models."""
    return _checked(_Parser().parse(ModelConfig, _read_yaml(_find(path, "models")), ""))


def config_names(folder: str) -> list[str]:
    """Names of the files in configs/<folder>, for messages and listings."""
    return sorted(file.stem for file in (CONFIG_ROOT / folder).glob("*.yaml"))


def to_tree(value: object) -> Any:
    """A config as plain dicts and lists, as YAML would hold it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_tree(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: to_tree(item) for name, item in value.items()}
    return [to_tree(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_tree(cls: type[T], tree: object) -> T:
    """The inverse of `to_tree`, with the checks of `load_config`."""
    return _checked(_Parser().parse(cls, tree, ""))


def replace(config: Config, overrides: Mapping[str, object]) -> Config:
    """A copy with dotted names set, checked like a file."""
    return from_tree(Config, _laid_over(to_tree(config), overrides))


def variant_of(config: Config, name: str) -> Config:
    """What `serving.variants` states under this name, checked like a file. It has no variants of its own."""
    tree = to_tree(config)
    overrides = tree["serving"].pop("variants")[name]
    if any(setting.startswith("serving.variants") for setting in overrides):
        raise ConfigError("a variant has no variants")
    return from_tree(Config, _laid_over(tree, overrides))


def _laid_over(tree: dict[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    says = dict(overrides)
    model = says.pop("model", tree.get("model"))
    if model is not None:
        tree["model"] = _read_yaml(_find(model, "models")) if isinstance(model, str) else copy.deepcopy(model)
    for name, value in says.items():
        _set_dotted(tree, name, value)
    return tree


def _find(path: str | Path, folder: str) -> Path:
    for candidate in (Path(path), CONFIG_ROOT / folder / f"{path}.yaml"):
        if candidate.is_file():
            return candidate
    known = ", ".join(config_names(folder))
    raise ConfigError(f"no config '{path}': neither a file nor one of {known} in configs/{folder}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not valid YAML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path.name} must hold a mapping of settings, not {type(tree).__name__}")
    return tree


def _set_dotted(tree: dict[str, Any], dotted: str, value: object) -> None:
    *parents, leaf = dotted.split(".")
    for name in parents:
        branch = tree.setdefault(name, {})
        if not isinstance(branch, dict):
            raise ConfigError(f"cannot set '{dotted}': '{name}' is {branch!r}, not a section")
        tree = branch
    tree[leaf] = value


def _checked(config: T) -> T:
    problems = list(_sizes(config, "")) or list(_problems(config, "")) or list(_variant_problems(config))
    if problems:
        raise ConfigError("this configuration cannot work:\n" + "\n".join(f"  - {line}" for line in problems))
    return config


def _variant_problems(config: object) -> Iterator[str]:
    if not isinstance(config, Config):
        return
    for name in config.serving.variants:
        try:
            variant_of(config, name)
        except ConfigError as error:
            yield f"serving.variants.{name}: {error}"


def _problems(value: object, path: str) -> Iterator[str]:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return
    for f in dataclasses.fields(value):
        yield from _problems(getattr(value, f.name), f"{path}{f.name}.")
    own = getattr(value, "problems", None)
    if own is not None:
        yield from (f"{path}{line}" for line in own())


def _sizes(value: object, path: str) -> Iterator[str]:
    """Numbers that no section could calculate with; other dataclasses (a session's header) may count from 0."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return
    is_section = type(value).__module__ in (
        m.__module__ for m in (Config, LightCodecConfig, ServingConfig, ParallelConfig)
    )
    for f in dataclasses.fields(value):
        item = getattr(value, f.name)
        numbers = item if isinstance(item, tuple) else (item,)
        yield from _sizes(item, f"{path}{f.name}.")
        if is_section and f.name not in MAY_BE_ZERO and any(type(n) in (int, float) and n <= 0 for n in numbers):
            yield f"{path}{f.name} is {item}; it must be greater than 0"


class _Parser:
    """Turns a tree into dataclasses, collecting complaints so that all are told at once."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def parse(self, cls: type[T], tree: object, path: str) -> T:
        value = self._section(cls, tree, path)
        if self.complaints:
            raise ConfigError("bad settings:\n" + "\n".join(f"  - {line}" for line in self.complaints))
        return value

    def _section(self, cls: Any, tree: object, path: str) -> Any:
        if not isinstance(tree, dict):
            self.complaints.append(f"{path.rstrip('.') or 'the file'} must be a mapping of settings, not {tree!r}")
            return None
        hints = typing.get_type_hints(cls)
        values = {
            name: self._value(hints[name], given, f"{path}{name}")
            for name, given in tree.items()
            if self._known(str(name), list(hints), path)
        }
        required = {f.name for f in dataclasses.fields(cls) if _is_required(f)}
        for name in sorted(required - set(values)):
            self.complaints.append(f"'{path}{name}' is missing")
        return None if self.complaints else cls(**values)

    def _known(self, name: str, allowed: list[str], path: str) -> bool:
        if name in allowed:
            return True
        near = difflib.get_close_matches(name, allowed, n=1)
        hint = f"did you mean '{path}{near[0]}'?" if near else f"known: {', '.join(allowed)}"
        self.complaints.append(f"'{path}{name}' is not a setting; {hint}")
        return False

    def _value(self, hint: Any, given: object, path: str) -> Any:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self._union(args, given, path)
        if dataclasses.is_dataclass(hint):
            return self._section(hint, given, path + ".")
        if origin is typing.Literal:
            return self._expect(given in args, given, path, "one of " + ", ".join(map(str, args)))
        if origin is tuple:
            return self._tuple(args, given, path)
        if origin is Mapping:
            return self._mapping(args, given, path)
        return self._scalar(hint, given, path)

    def _union(self, options: tuple[Any, ...], given: object, path: str) -> Any:
        if type(None) in options:
            if given is None:
                return None
            options = tuple(option for option in options if option is not type(None))
        if len(options) == 1:
            return self._value(options[0], given, path)
        kinds = {option.kind: option for option in options}
        kind = given.get("kind", options[0].kind) if isinstance(given, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            return self._expect(False, kind, path + ".kind", "one of " + ", ".join(kinds))
        return self._section(kinds[kind], given, path + ".")

    def _tuple(self, args: tuple[Any, ...], given: object, path: str) -> Any:
        if not isinstance(given, (list, tuple)):
            return self._expect(False, given, path, "a list")
        if args[-1] is Ellipsis:
            args = (args[0],) * len(given)
        if len(args) != len(given):
            return self._expect(False, given, path, f"a list of {len(args)}")
        pairs = enumerate(zip(args, given, strict=True))
        return tuple(self._value(arg, item, f"{path}[{i}]") for i, (arg, item) in pairs)

    def _mapping(self, args: tuple[Any, ...], given: object, path: str) -> Any:
        if not isinstance(given, Mapping) or not all(isinstance(name, str) and name for name in given):
            return self._expect(False, given, path, "a mapping of names")
        return {name: self._value(args[1], item, f"{path}.{name}") for name, item in given.items()}

    def _scalar(self, hint: type, given: object, path: str) -> Any:
        if hint is object:
            return given
        if isinstance(given, float) and not math.isfinite(given):
            return self._expect(False, given, path, "a finite number")
        if hint is float and isinstance(given, int) and not isinstance(given, bool):
            return float(given)
        is_bool = isinstance(given, bool)
        return self._expect(isinstance(given, hint) and is_bool == (hint is bool), given, path, hint.__name__)

    def _expect(self, good: bool, given: object, path: str, wanted: str) -> Any:
        if not good:
            self.complaints.append(f"'{path}' is {given!r}; it must be {wanted}")
        return given


def _is_required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
