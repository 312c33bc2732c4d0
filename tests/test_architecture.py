"""The laws of the source: who imports whom, what no file may do, how big things get.

A law that fails lists every place that breaks it. To add a module, give it a floor below.
"""

from __future__ import annotations

import ast
import fnmatch
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.source import ROOT, Source, demand, dotted, is_main_guard, library_names, sources, uses

# Imports go down. Units on one floor do not see each other; names in one unit do.
FLOORS = (
    ("errors config config_* types __version__",),
    ("ops", "media"),
    ("models",),
    ("checkpoint convert",),
    ("pipeline", "parallel"),
    ("engine", "train"),
    ("serving", "flashtalk"),
    ("cli cli_* commands __main__", "ui"),
    ("app",),
)

MAY_READ_ENVIRONMENT = (
    "app.py",
    "flashtalk/serving/launch.py",
    "flashtalk/cli*.py",
    "flashtalk/engine/compile_cache.py",  # torch takes the folder from there alone
    "train/launch.py",
)
MAY_USE_DISTRIBUTED = ("flashtalk/parallel/*", "flashtalk/serving/*", "train/*")
MAY_UNPICKLE = ("flashtalk/convert.py",)

ENVIRONMENT = ("os.environ", "os.environb", "os.getenv", "os.putenv", "os.unsetenv")
PICKLES = ("pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch.load")
DEFINITIONS = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
)

MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 80
MEDIAN_FUNCTION_LINES = 10
USUAL_FUNCTION_LINES = 40
MAX_OPENING_LINES = 3


@cache
def modules_at_the_top() -> frozenset[str]:
    """`errors`, `ops`, ...: what lies directly in flashtalk/, and the one plain word of its __init__."""
    found = {source.module.split(".")[1] for source in sources("flashtalk") if "." in source.module}
    return frozenset(found | {"__version__"})


def place(name: str) -> tuple[int, str] | None:
    """Floor and unit of a dotted name of ours, floor -1 if it has none; None for others' names."""
    first, _, rest = name.partition(".")
    if first not in ("flashtalk", "app", "train"):
        return None
    head = rest.split(".", maxsplit=1)[0]
    key = head if first == "flashtalk" and head in modules_at_the_top() else first
    for floor, units in enumerate(FLOORS):
        for unit in units:
            if any(fnmatch.fnmatchcase(key, pattern) for pattern in unit.split()):
                return floor, unit
    return -1, key


# Who may import whom.


def test_every_module_has_a_floor() -> None:
    homeless = [source.path for source in sources() if (place(source.module) or (-1,))[0] < 0]
    demand("Give these a floor in FLOORS (tests/test_architecture.py):", homeless)


def test_imports_only_go_down() -> None:
    def broken(source: Source) -> Iterator[str]:
        own = place(source.module)
        for node, name in source.imports:
            target = place(name)
            if own and target and target[1] != own[1] and target[0] >= own[0]:
                yield source.at(node, f"imports {name}; '{target[1]}' is not below '{own[1]}'")

    # flashtalk/__init__.py offers names of all floors, lazily.
    bound = [source for source in sources() if source.path != "flashtalk/__init__.py"]
    demand("Imports go to lower floors or stay in their own unit:", (line for s in bound for line in broken(s)))


def test_imports_are_absolute() -> None:
    relative = (s.at(node, name) for s in sources() for node, name in s.imports if name.startswith("."))
    demand("Import by the full name:", relative)


def test_nothing_imports_train() -> None:
    product = sources("flashtalk", "app.py")
    found = (s.at(node, name) for s in product for node, name in s.imports if name.split(".")[0] == "train")
    demand("The product runs without train/:", found)


# What no file may do.


def test_forward_is_never_replaced() -> None:
    def broken(source: Source) -> Iterator[str]:
        for node in source.nodes(ast.Attribute, ast.Call):
            match node:
                case ast.Attribute(attr="forward", ctx=ast.Store()):
                    yield source.at(node, ast.unparse(node) + " = ...")
                case ast.Call(args=[_, ast.Constant(value="forward"), _]):
                    yield source.at(node, ast.unparse(node))
                case ast.Call() if dotted(node.func).split(".")[-1] == "MethodType":
                    yield source.at(node, ast.unparse(node))

    law = "The forward you read is the one that runs; use a seam (setter, hook, constructor argument):"
    demand(law, (line for source in sources() for line in broken(source)))


def test_nothing_prints() -> None:
    calls = ((s, node) for s in sources("flashtalk") for node in s.nodes(ast.Call) if isinstance(node, ast.Call))
    found = (s.at(node, ast.unparse(node)) for s, node in calls if dotted(node.func) in ("print", "pprint.pprint"))
    demand("flashtalk/ does not print (log, or return a value to the command line):", found)


def test_environment_is_read_at_the_edges_only() -> None:
    inside = [s for s in sources() if not s.matches(MAY_READ_ENVIRONMENT)]
    inside = [s for s in inside if not (s.path.startswith("train/") and s.is_entry_point)]
    law = f"Settings come from Config; only {', '.join(MAY_READ_ENVIRONMENT)} see the environment:"
    demand(law, uses(inside, ENVIRONMENT))


def test_distributed_stays_in_its_place() -> None:
    outside = [s for s in sources() if not s.matches(MAY_USE_DISTRIBUTED)]
    demand(f"torch.distributed belongs in {', '.join(MAY_USE_DISTRIBUTED)}:", uses(outside, ("torch.distributed",)))


def test_nothing_unpickles() -> None:
    outside = [s for s in sources() if not s.matches(MAY_UNPICKLE)]
    keywords = [(s, node) for s in outside for node in s.nodes(ast.keyword) if isinstance(node, ast.keyword)]
    allowed = {s.at(node.value, ast.unparse(node)) for s, node in keywords if node.arg == "allow_pickle"}
    unwanted = {line for line in allowed if not line.endswith("=False")}
    demand("Weights and messages are data, never code (safetensors, JSON):", uses(outside, PICKLES) | unwanted)


def test_modules_only_define() -> None:
    def fine(node: ast.stmt) -> bool:
        if isinstance(node, ast.If):
            return is_main_guard(node) or ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        return isinstance(node, DEFINITIONS) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))

    found = ((s, node) for s in sources() for node in s.tree.body if not fine(node))
    law = "The top level holds definitions, imports and constants only:"
    demand(law, (s.at(node, ast.unparse(node).splitlines()[0]) for s, node in found))


def test_importing_does_nothing(tmp_path: Path) -> None:
    """One fresh process imports every module: no output, no file, no device, no environment read, no global changed."""
    report, home = tmp_path / "report.json", tmp_path / "home"
    home.mkdir()
    modules = [source.module for source in sources("flashtalk") if source.module != "flashtalk.__main__"]
    arguments = [str(report), str(ROOT / "flashtalk"), ",".join(sorted(library_names())), ",".join(modules)]
    result = subprocess.run(
        [sys.executable, "-m", "tests.import_probe", *arguments],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if not report.exists():
        pytest.fail(f"A module cannot be imported on its own:\n{result.stderr}", pytrace=False)
    printed = [f"printed: {line}" for line in (result.stdout + result.stderr).splitlines()]
    demand("Importing has no effect:", [*json.loads(report.read_text(encoding="utf-8")), *printed])


# How big things get, and what every file has.


def test_files_are_short() -> None:
    long = [f"{s.path}: {s.lines} lines" for s in sources("flashtalk", "app.py") if s.lines > MAX_FILE_LINES]
    demand(f"A file has {MAX_FILE_LINES} lines at most; split it by noun:", long)


def test_functions_are_short() -> None:
    sized = [
        (lines, s.at(node, f"{node.name} has {lines} lines"))
        for s in sources("flashtalk")
        for node, lines in s.functions
    ]
    lengths = sorted(lines for lines, _ in sized)
    median = statistics.median(lengths)
    usual = sum(length < USUAL_FUNCTION_LINES for length in lengths) / len(lengths)
    broken = [where for lines, where in sized if lines > MAX_FUNCTION_LINES]
    if median > MEDIAN_FUNCTION_LINES or usual < 0.9:
        broken += [where for _, where in sorted(sized, reverse=True)[: max(1, len(sized) // 10)]]
    law = f"At most {MAX_FUNCTION_LINES} lines, median {MEDIAN_FUNCTION_LINES}, 90 % under {USUAL_FUNCTION_LINES}"
    figures = (
        f"{len(sized)} functions: longest {lengths[-1]}, median {median}, {usual:.1%} under {USUAL_FUNCTION_LINES}"
    )
    demand(f"{law} ({figures}):", broken)


def test_every_function_says_what_it_returns() -> None:
    silent = [s.at(node, node.name) for s in sources() for node, _ in s.functions if node.returns is None]
    demand("Annotate the return type:", silent)


def test_every_file_opens_with_what_lives_there() -> None:
    openings = ((s.path, (ast.get_docstring(s.tree) or "").split("\n\n")[0].splitlines()) for s in sources())
    law = f"A file opens with 1..{MAX_OPENING_LINES} lines: what lives here, who calls it:"
    demand(law, (f"{path}: {len(lines)} lines" for path, lines in openings if not 1 <= len(lines) <= MAX_OPENING_LINES))


def test_the_readme_names_every_file() -> None:
    """Of flashtalk's packages, each in its place. A folder inside one stands for its files, as `commands` does."""
    tree = (ROOT / "README.md").read_text("utf-8").split("\nflashtalk/\n")[1].split("\ntrain/\n")[0]
    parts = (re.findall(r"\w+/|\w+\.py", part) for part in re.split(r"\n  (?=\w)", tree))
    told = {names[0].rstrip("/"): names for names in parts if names and names[0] != "commands/"}
    paths = [path.relative_to(ROOT / "flashtalk") for path in (ROOT / "flashtalk").rglob("*.py")]
    inside = [(path.parts[0], f"{path.parts[1]}/" if len(path.parts) > 2 else path.name) for path in paths]
    assert len(told) > 8
    missing = {
        f"{package}/{name}" for package, name in inside if name not in [*told.get(package, [name]), "__init__.py"]
    }
    demand("Name it in README.md, Files:", missing)
