"""`flashtalk doctor`: what is installed, which devices and kernels work, whether the default config can run."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import av
import psutil
import torch

from flashtalk import __version__
from flashtalk.commands.weights import find_weights
from flashtalk.config import DEFAULT_SERVE_CONFIG, Config
from flashtalk.config_file import CONFIG_ROOT, config_names, load_config
from flashtalk.engine.device import cpu_has_bfloat16, pick_device, pick_dtype
from flashtalk.errors import FlashTalkError
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.ops.attention import BACKENDS, select_attention

REQUIREMENTS = CONFIG_ROOT.parent / "requirements.txt"
OPTIONAL = ("flash_attn", "flash_attn_interface", "xfuser", "yunchang", "triton")
ENCODERS = ("libx264", "aac")
ASSETS = ("portraits", "speech")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found. `problems` keep the default config from running; without any it can."""

    versions: dict[str, str | None]
    optional: dict[str, str | None]
    devices: dict[str, str]
    attention: dict[str, str]
    """Kernel -> why it cannot run on the device that `auto` picks; empty if it can."""
    encoders: dict[str, bool]
    weights: dict[str, str]
    """Serve config -> where its weights are."""
    assets: dict[str, list[str]]
    problems: list[str] = field(default_factory=list)

    @property
    def can_run(self) -> bool:
        """Whether the default config can run here."""
        return not self.problems


def examine() -> Report:
    """Look at everything; computes nothing and downloads nothing. Raises ConfigError if a config is broken."""
    device = pick_device("auto")
    encoders = {name: _can_encode(name) for name in ENCODERS}
    configs = {name: load_config(name) for name in config_names("serve")}
    return Report(
        versions={"flashtalk": __version__, "python": platform.python_version(), **_required()},
        optional=_optional(),
        devices=dict(_devices()),
        attention={name: backend.why_not(device, torch.bfloat16) for name, backend in BACKENDS.items()},
        encoders=encoders,
        weights={name: find_weights(config.checkpoint).words for name, config in configs.items()},
        assets={folder: _files(folder) for folder in ASSETS},
        problems=list(_problems(configs[DEFAULT_SERVE_CONFIG], encoders)),
    )


def report_json(report: Report) -> str:
    """For programs."""
    return json.dumps(asdict(report) | {"can_run": report.can_run}, indent=2)


def report_text(report: Report) -> str:
    """For people."""
    sections: dict[str, Mapping[str, str | None]] = {
        "installed": report.versions,
        "optional": {name: version or "not installed" for name, version in report.optional.items()},
        "devices": report.devices,
        "attention": {name: f"no: {reason}" if reason else "usable" for name, reason in report.attention.items()},
        "encoders": {name: "usable" if usable else "missing" for name, usable in report.encoders.items()},
        "weights": report.weights,
        "assets": {name: ", ".join(files) or "none" for name, files in report.assets.items()},
    }
    lines = [line for title, rows in sections.items() for line in _section(title, rows)]
    verdict = f"the default config '{DEFAULT_SERVE_CONFIG}' "
    lines += [verdict + ("can run" if report.can_run else "cannot run:"), *(f"  {line}" for line in report.problems)]
    return "\n".join(lines)


def _section(title: str, rows: Mapping[str, str | None]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [title, *(f"  {name:<{width}}  {value or 'MISSING'}" for name, value in rows.items()), ""]


def _required() -> dict[str, str | None]:
    """Distribution of requirements.txt -> version, None if it is not installed."""
    return {name: _version(name) for name in re.findall(r"^([\w-]+)==", REQUIREMENTS.read_text(), re.MULTILINE)}


def _optional() -> dict[str, str | None]:
    """Module -> version of its distribution."""
    providers = importlib.metadata.packages_distributions()
    return {name: _version(providers[name][0]) if name in providers else None for name in OPTIONAL}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[tuple[str, str]]:
    memory, cores = psutil.virtual_memory(), psutil.cpu_count(logical=False) or 0
    products = "yes" if cpu_has_bfloat16() else "no, float32 is used"
    yield (
        "cpu",
        f"{platform.machine()}, {cores} cores ({psutil.cpu_count()} threads, torch uses {torch.get_num_threads()}), "
        f"{torch.backends.cpu.get_cpu_capability()}, bfloat16 products: {products}",
    )
    yield "memory", f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB, capability {gpu.major}.{gpu.minor}"
    if not torch.cuda.device_count():
        yield "cuda", f"none visible (torch is built {_cuda_words()})"


def _cuda_words() -> str:
    return f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"


def _can_encode(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _files(folder: str) -> list[str]:
    """What lies in assets/<folder>."""
    return sorted(file.name for file in (CONFIG_ROOT.parent / "assets" / folder).glob("[!.]*"))


def _problems(config: Config, encoders: dict[str, bool]) -> Iterator[str]:
    """What keeps `config` from running here."""
    yield from (f"{name} is not installed" for name, version in _required().items() if version is None)
    yield from (f"PyAV has no {name} encoder; install av from its wheel" for name, can in encoders.items() if not can)
    weights = find_weights(config.checkpoint)
    if weights.missing:
        yield f"weights: {weights.words}"
    try:
        device = pick_device(config.runtime.device)
        select_attention(config.runtime.attention, device, pick_dtype(config.runtime.dtype, device))
    except FlashTalkError as error:
        yield str(error)
        return
    wanted, free = _weight_bytes(config, device), _free_bytes(device)
    if wanted > free:
        yield f"the weights take {wanted / 1e9:.1f} GB, and {device} has {free / 1e9:.1f} GB free"


def _weight_bytes(config: Config, device: torch.device) -> int:
    modules = named_modules(build_models_on_meta(config.model))
    count = sum(parameter.numel() for _, module in modules for parameter in module.parameters())
    return count * pick_dtype(config.runtime.dtype, device).itemsize


def _free_bytes(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
