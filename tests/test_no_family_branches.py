"""Families are rows of data: outside the tables, no code asks which family it has before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_kernels.families import FAMILIES, supported_architectures

ROOT = Path(__file__).resolve().parent.parent
TABLES = ("llm_kernels/families/rows/", "llm_convert/names/")
NAMES = {*FAMILIES, *supported_architectures()}
OWNERS = {"spec", "family", "_spec"}
SOURCES = [
    file
    for pattern in ("packages/*/src", "tools/*/src")
    for folder in ROOT.glob(pattern)
    for file in sorted(folder.rglob("*.py"))
    if not any(table in file.as_posix() for table in TABLES)
]


def names_a_family(node: ast.expr) -> bool:
    """Whether an expression is the name of a family: `spec.name`, or one of the names spelt out."""
    if isinstance(node, ast.Attribute) and node.attr == "name":
        owner = node.value
        last = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        return last in OWNERS
    if isinstance(node, ast.Constant):
        return node.value in NAMES
    if isinstance(node, ast.Name):
        return node.id == "family"
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(names_a_family(element) for element in node.elts)
    return False


def branches(tree: ast.AST) -> Iterator[int]:
    """Lines that compare, match, look up or take apart the name of a family."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        elif isinstance(node, ast.Subscript):
            asked = [node.slice]
        elif isinstance(node, ast.Attribute):
            asked = [node.value] if node.attr in ("startswith", "endswith", "lower") else []
        else:
            continue
        if any(names_a_family(expression) for expression in asked):
            yield node.lineno if hasattr(node, "lineno") else node.subject.lineno


@pytest.mark.parametrize(
    "line",
    [
        'x = spec.name == "llama"',
        'x = model.spec.name in ("opt", "bloom")',
        'if family == "mine": pass',
        'x = config["architectures"][0] != "QWenLMHeadModel"',
        "x = TABLE[spec.name]",
        'x = spec.name.startswith("baichuan")',
        'match kind:\n    case "gpt2": pass',
        "match spec.name:\n    case _: pass",
    ],
)
def test_the_check_sees_branches(line: str) -> None:
    assert list(branches(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    ['message = f"{spec.name} needs it"', 'x = spec.norm.kind == "rms"', "x = path.name == file"],
)
def test_the_check_lets_the_axes_through(line: str) -> None:
    assert not list(branches(ast.parse(line)))


def test_no_code_branches_on_a_family() -> None:
    assert len(SOURCES) > 50
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in SOURCES
        for line in branches(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found, "put a value on an axis of FamilySpec instead"
