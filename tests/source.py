"""Reads the product's source as syntax trees; the laws of test_architecture.py and test_repository.py stand on it."""

from __future__ import annotations

import ast
import fnmatch
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("flashtalk", "app.py", "train")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file: `path` from the root with forward slashes, `module` dotted."""

    path: str
    module: str
    lines: int
    tree: ast.Module

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"

    def matches(self, patterns: Iterable[str]) -> bool:
        return any(fnmatch.fnmatch(self.path, pattern) for pattern in patterns)

    @property
    def is_entry_point(self) -> bool:
        return any(is_main_guard(node) for node in self.tree.body)

    @property
    def functions(self) -> list[tuple[Function, int]]:
        """Every function, nested ones too, with its length in lines."""
        found = (node for node in ast.walk(self.tree) if isinstance(node, Function))
        return [(node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in found]

    @cached_property
    def imports(self) -> list[tuple[ast.AST, str]]:
        """Everything imported, at the top or inside functions; our own modules named in strings count too."""
        ours = own_modules()
        found: list[tuple[ast.AST, str]] = []
        for node in self.nodes(ast.Import, ast.ImportFrom, ast.Constant):
            match node:
                case ast.Import():
                    found += [(node, alias.name) for alias in node.names]
                case ast.ImportFrom():
                    start = "." * node.level + (f"{node.module}." if node.module else "")
                    found += [(node, start + alias.name) for alias in node.names]
                case ast.Constant(value=str(name)) if name in ours:
                    found.append((node, name))
        return found


@cache
def own_modules() -> frozenset[str]:
    return frozenset(source.module for source in sources() if "." in source.module)


@cache
def sources(*roots: str) -> tuple[Source, ...]:
    """All files below `roots` (folders or files), or the whole product if none is named."""
    starts = [ROOT / name for name in roots or PRODUCT]
    files = sorted(file for start in starts for file in ([start] if start.is_file() else start.rglob("*.py")))
    return tuple(map(read, files))


def library_names() -> set[str]:
    """Dotted names that flashtalk/ and app.py import from libraries outside Python's own."""
    own = sys.stdlib_module_names | {"", "flashtalk", "app", "train"}
    names = {name for source in sources("flashtalk", "app.py") for _, name in source.imports}
    return {name for name in names if name.split(".", maxsplit=1)[0] not in own}


def read(file: Path) -> Source:
    path = file.relative_to(ROOT).as_posix()
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    text = file.read_text(encoding="utf-8")
    return Source(path, module, len(text.splitlines()), ast.parse(text, path))


def demand(law: str, broken: Iterable[str]) -> None:
    """Fail with the law and every place that breaks it."""
    places = sorted(set(broken))
    if places:
        pytest.fail("\n  ".join([law, *places]), pytrace=False)


def dotted(node: ast.AST) -> str:
    """`torch.distributed` for that expression; "" for what is not a dotted name."""
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return left and f"{left}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(files: Iterable[Source], names: tuple[str, ...]) -> set[str]:
    """Where one of the dotted names, or anything below it, is imported or spelled out."""

    def below(name: str) -> bool:
        return any(name == wanted or name.startswith(wanted + ".") for wanted in names)

    found = set()
    for source in files:
        found |= {source.at(node, name) for node, name in source.imports if below(name)}
        found |= {source.at(node, dotted(node)) for node in source.nodes(ast.Attribute) if below(dotted(node))}
    return found


def is_main_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
