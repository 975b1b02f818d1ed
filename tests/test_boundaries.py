"""Who may import whom, and how files are called: the plan of the house, checked."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "llm_cli": set(),
    "llm_kernels": set(),
    "llm_data": set(),
    "llm_convert": {"llm_kernels"},
    "llm_infer": {"llm_kernels", "llm_convert", "llm_data"},
    "llm_serve": {"llm_infer", "llm_data"},
    "llm_train": {"llm_kernels", "llm_convert", "llm_data"},
    "llm_peft": {"llm_train", "llm_kernels", "llm_convert", "llm_data"},
    "llm_quant": {"llm_kernels", "llm_convert", "llm_data"},
}
"""Every package may also import the frame, ``llm_cli``; the kernels only to describe commands."""

FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}
PADDLE_ROOMS = ("llm_train", "llm_peft", "llm_quant")
LONGEST_FILE = 400
LONGEST_FUNCTION = 80


def source_folders() -> dict[str, Path]:
    found = [*ROOT.glob("packages/*/src/llm_*"), *ROOT.glob("tools/*/src/llm_*")]
    return {path.name: path for path in sorted(found) if path.is_dir() and "." not in path.name}


def sources() -> list[Path]:
    return [file for folder in source_folders().values() for file in sorted(folder.rglob("*.py"))]


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what a module imports; type-checking blocks count as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_nine_rooms() -> None:
    assert set(source_folders()) == set(MAY_IMPORT)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_no_package_imports_what_it_may_not(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package, "llm_cli"}
    wrong = [
        f"{identity(file)} imports {name}"
        for file in sorted(source_folders()[package].rglob("*.py"))
        for name in imports(parsed(file))
        if name.split(".")[0].startswith("llm_") and name.split(".")[0] not in allowed
    ]
    assert not wrong


def test_the_kernels_use_the_frame_only_for_their_commands() -> None:
    commands = {"cli.py", "options.py", "commands"}
    wrong = [
        identity(file)
        for file in sorted(source_folders()["llm_kernels"].rglob("*.py"))
        if any(name.startswith("llm_cli") for name in imports(parsed(file)))
        and not commands & set(file.parts)
    ]
    assert not wrong


def test_the_arrows_have_no_cycle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        ready = {name for name, needs in MAY_IMPORT.items() if needs <= done} - done
        assert ready, f"a cycle among {set(MAY_IMPORT) - done}"
        done |= ready


def test_declared_dependencies_are_the_arrows() -> None:
    import tomllib

    for package, allowed in MAY_IMPORT.items():
        folder = source_folders()[package].parent.parent
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        ours = [d for d in project["dependencies"] if d.startswith("llm-toolchain-")]
        assert all("~=" in line for line in ours), f"{package}: siblings depend by ~="
        names = {"llm_" + d.removeprefix("llm-toolchain-").split("~=")[0] for d in ours}
        used = {
            name.split(".")[0]
            for file in source_folders()[package].rglob("*.py")
            for name in imports(parsed(file))
            if name.split(".")[0] in MAY_IMPORT
        } - {package}
        assert used <= names <= allowed | {"llm_cli"}, package


def test_paddle_is_imported_only_where_it_is_at_home() -> None:
    wrong = [
        identity(file)
        for file in sources()
        if any(name.split(".")[0] in ("paddle", "paddlenlp") for name in imports(parsed(file)))
        and not any(room in file.parts for room in PADDLE_ROOMS)
        and "paddle" not in file.parts
        and not file.name.startswith("paddle")
    ]
    assert not wrong


def test_torch_is_imported_nowhere() -> None:
    foreign = {"torch", "transformers"}
    wrong = [
        identity(file)
        for file in sources()
        if any(name.split(".")[0] in foreign for name in imports(parsed(file)))
    ]
    assert not wrong


def test_reading_every_option_imports_nothing_heavy() -> None:
    """``llm COMMAND --help`` needs the descriptions and the options, and must be quick."""
    script = """
import sys
from importlib.metadata import entry_points
from llm_cli.command import Group
from llm_cli.options import option_specs
for point in entry_points(group="llm_toolchain.commands"):
    described = point.load()
    for command in described.commands if isinstance(described, Group) else (described,):
        assert option_specs(command.load_options()), command
heavy = {"numpy", "paddle", "paddlenlp", "tokenizers", "fastapi", "matplotlib"}
loaded = ", ".join(heavy & set(sys.modules))
sys.exit(f"imported {loaded}" if loaded else 0)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr


def test_no_file_is_a_drawer_for_everything() -> None:
    assert not [identity(file) for file in sources() if file.name in FORBIDDEN_NAMES]


def test_rooms_are_small() -> None:
    def is_table(file: Path) -> bool:
        return "rows" in file.parts or "names" in file.parts

    long = [
        identity(file)
        for file in sources()
        if not is_table(file) and len(file.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE
    ]
    assert not long


def test_functions_are_short() -> None:
    long = [
        f"{identity(file)}:{node.lineno} {node.name}"
        for file in sources()
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert not long


def test_public_names_have_docstrings() -> None:
    bare = []
    for file in sources():
        tree = parsed(file)
        if ast.get_docstring(tree) is None:
            bare.append(identity(file))
        scopes = [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]
        for scope in scopes:
            if isinstance(scope, ast.ClassDef) and scope.name.startswith("_"):
                continue
            bare += [
                f"{identity(file)}:{node.lineno} {node.name}"
                for node in scope.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and ast.get_docstring(node) is None
                and not any(
                    isinstance(d, ast.Name) and d.id in ("overload", "override")
                    for d in node.decorator_list
                )
            ]
    assert not bare


def test_every_test_file_mirrors_a_source() -> None:
    lonely = []
    for package in [*ROOT.glob("packages/*"), ROOT / "tools/llm-cli"]:
        if not (package / "pyproject.toml").is_file():
            continue
        folder = source_folders()[package.name.replace("-", "_")]
        for test in (package / "tests").rglob("test_*.py"):
            inner = test.relative_to(package / "tests")
            stem = inner.name.removeprefix("test_").removesuffix(".py")
            # One aspect of a module may have a file of its own in a folder of the module's name.
            aspect = (folder / inner.parent).with_suffix(".py")
            places = [folder / inner.parent / f"{stem}.py", folder / inner.parent / stem, aspect]
            if not any(place.exists() for place in places):
                lonely.append(identity(test))
    assert not lonely
