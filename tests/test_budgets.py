"""Size budgets: what outgrows them is split, or listed here with a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src" / "podlane"
MODULE_LINES = 400
CLASS_LINES = 250
PUBLIC_METHODS = 12
FUNCTION_STATEMENTS = 40
PARAMETERS = 6

# "module:name" -> why it may be larger. Empty is the aim.
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Finding:
    where: str
    what: str


def _public_methods(node: ast.ClassDef) -> int:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(n, functions) and not n.name.startswith("_") for n in node.body)


def _statements(node: ast.AST) -> int:
    return sum(isinstance(child, ast.stmt) for child in ast.walk(node)) - 1


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def _class_findings(where: str, node: ast.ClassDef) -> Iterator[Finding]:
    lines = (node.end_lineno or 0) - node.lineno + 1
    if lines > CLASS_LINES:
        yield Finding(where, f"{lines} lines in a class (limit {CLASS_LINES})")
    if (count := _public_methods(node)) > PUBLIC_METHODS:
        yield Finding(where, f"{count} public methods (limit {PUBLIC_METHODS})")


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A click command has one parameter per option; the option list is its interface."""
    return any("click.command" in ast.unparse(decorator) for decorator in node.decorator_list)


def _function_findings(
    where: str, node: ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[Finding]:
    if (count := _statements(node)) > FUNCTION_STATEMENTS:
        yield Finding(where, f"{count} statements (limit {FUNCTION_STATEMENTS})")
    if (count := _parameters(node)) > PARAMETERS and not _is_command(node):
        yield Finding(where, f"{count} parameters (limit {PARAMETERS})")


def _findings(path: Path) -> Iterator[Finding]:
    text = path.read_text()
    module = str(path.relative_to(SOURCES))
    if (lines := len(text.splitlines())) > MODULE_LINES:
        yield Finding(module, f"{lines} lines in a module (limit {MODULE_LINES})")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            yield from _class_findings(f"{module}:{node.name}", node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function_findings(f"{module}:{node.name}", node)


@pytest.mark.parametrize(
    "path", sorted(SOURCES.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCES))
)
def test_a_module_keeps_its_budget(path: Path) -> None:
    found = [f"{f.where}: {f.what}" for f in _findings(path) if f.where not in EXCEPTIONS]
    assert not found, "split it, or list it in EXCEPTIONS with a reason:\n" + "\n".join(found)


def test_no_exception_is_left_over() -> None:
    outgrown = {finding.where for path in SOURCES.rglob("*.py") for finding in _findings(path)}
    assert set(EXCEPTIONS) <= outgrown
    assert all(EXCEPTIONS.values())


def test_each_package_says_what_lives_in_it_and_does_nothing_else() -> None:
    for path in SOURCES.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, f"{path}: a package's __init__ is a docstring and nothing else"
        assert isinstance(body[0], ast.Expr), path
