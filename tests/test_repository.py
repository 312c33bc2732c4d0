"""The laws of the repository beside its source: public names, configs, requirements, and what no file may contain."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest
from torch import nn

from flashtalk.config_file import load_config, load_model_config
from tests.import_probe import OPTIONAL
from tests.source import ROOT, demand, library_names

PUBLIC_NAMES = [
    "CheckpointError",
    "Config",
    "ConfigError",
    "EngineError",
    "FlashTalkError",
    "InputError",
    "Overloaded",
    "SessionClosed",
    "VideoChunk",
    "WorkerLost",
    "connect",
    "load_config",
]

# Paths of one machine and hosts of package indexes; put together here, so that this file passes its own law.
PRIVATE = ("/" + "work/", "/" + "root/", "." + "library", "pypi" + ".org", "python" + "hosted")


def configs(folder: str) -> list[Path]:
    return sorted((ROOT / "configs" / folder).glob("*.yaml"))


def pins(file: str) -> set[str]:
    """Distributions that a requirements file names; each must be pinned."""
    lines = (line.split("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    wanted = [line for line in lines if line and not line.startswith("-r ")]
    demand(f"{file}: write NAME==VERSION:", [line for line in wanted if not re.fullmatch(r"[\w.-]+==[\w.]+", line)])
    return {normal(line.partition("==")[0]) for line in wanted}


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def repository_files() -> list[Path]:
    """What is or would be committed; without git, everything but what is hidden or built."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        built = re.compile(r"(^|/)(\.(?!ci/|gitignore)|__pycache__/|build/|out/)|\.egg-info/")
        names = [file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*")]
        names = [name for name in names if not built.search(name)]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_public_names() -> None:
    flashtalk = importlib.import_module("flashtalk")
    assert flashtalk.__all__ == PUBLIC_NAMES == sorted(PUBLIC_NAMES)
    assert [name for name in PUBLIC_NAMES if not hasattr(flashtalk, name)] == []


@pytest.mark.parametrize("path", configs("serve"), ids=lambda path: path.stem)
def test_serve_config_loads(path: Path) -> None:
    assert load_config(path) == load_config(path.stem)


@pytest.mark.parametrize("path", configs("models"), ids=lambda path: path.stem)
def test_model_config_builds_on_meta(path: Path) -> None:
    """Every size builds, in full, without memory for its weights."""
    build = importlib.import_module("flashtalk.models.build").build_models_on_meta
    config = load_model_config(path)
    assert config.name == path.stem, "a model is named like its file"
    models = build(config)
    assert models
    for name, model in models.items():
        assert isinstance(model, nn.Module), name
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}, name


def test_requirements_are_what_the_code_imports() -> None:
    providers = importlib.metadata.packages_distributions()
    roots = {name.split(".", maxsplit=1)[0] for name in library_names()} - set(OPTIONAL)
    imported = {normal(providers.get(root, [root])[0]) for root in roots}
    listed = pins("requirements.txt")
    missing = [f"{name} is imported, but not listed" for name in imported - listed]
    idle = [f"{name} is listed, but not imported" for name in listed - imported]
    demand("requirements.txt holds what flashtalk/ and app.py import, no more and no less:", missing + idle)


@pytest.mark.parametrize("file", ["requirements-dev.txt", "requirements-gpu.txt"])
def test_extra_requirements_are_pinned(file: str) -> None:
    assert pins(file)


def test_no_file_names_a_machine() -> None:
    contents = ((file.relative_to(ROOT), file.read_bytes()) for file in repository_files())
    found = (f"{path}: {word}" for path, data in contents for word in PRIVATE if word.encode() in data)
    demand("A repository names no machine's paths and no package index:", found)


def test_the_readme_lists_every_module_and_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w./{,}]+", _expanded(readme[readme.index("## Files") : readme.index("## Train it")])))
    modules = [file for folder in ("flashtalk", "train") for file in sorted((ROOT / folder).rglob("*.py"))]
    named = (file for file in modules if file.name != "__init__.py")
    missing = [
        str(file.relative_to(ROOT))
        for file in named
        if file.name not in listed and not {f"{part}/" for part in file.relative_to(ROOT).parts[1:-1]} & listed - WHOLE
    ]
    demand("README.md lists each module, or its folder as a whole, under Files:", missing)
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    demand("A picture or a page that a document links is there:", broken)


WHOLE = {"ops/", "media/", "models/", "pipeline/", "parallel/", "engine/", "serving/", "ui/"}
"""Folders whose modules README.md names one by one."""


def _expanded(text: str) -> str:
    """`config_{app,codec}.py` written out."""

    def each(found: re.Match[str]) -> str:
        return " ".join(f"{found[1]}{part}{found[3]}" for part in found[2].split(","))

    return re.sub(r"(\w+)\{([\w,]+)\}([\w.]+)", each, text)
