"""Write the parts of the documentation that follow from the code: ``python tools/document.py``.

``docs/options.md`` holds every command's options, from their dataclasses; ``docs/modules.md`` and
the list in ``docs/architecture.md`` the first sentence of docstrings. A test makes them anew and
compares, so that they cannot drift.
"""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

from llm_cli.command import Command, Group
from llm_cli.options import OptionSpec, option_specs

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- modules: begin -->", "<!-- modules: end -->"
ORDER = ("cli", "kernels", "convert", "data", "train", "peft", "quant", "infer", "serve")


def commands() -> list[tuple[str, Command]]:
    """Every command of the installed packages with the words that call it."""
    found = []
    for point in sorted(entry_points(group="llm_toolchain.commands"), key=lambda p: p.name):
        described = point.load()
        if isinstance(described, Group):
            found += [(f"{point.name} {inner.name}", inner) for inner in described.commands]
        else:
            found.append((point.name, described))
    return found


def options_page() -> str:
    """``docs/options.md``: one table a command."""
    parts = [
        "# Options of every command\n",
        "Made from the code by `python tools/document.py`. Every option may also stand in the JSON "
        "or YAML file that a command takes as its first argument; `--a_b` and `--a-b` are the same "
        "option.\n",
    ]
    for words, command in commands():
        parts.append(f"## llm {words}\n\n{command.help}\n")
        parts.append("| option | type | default | what it does |\n|---|---|---|---|")
        specs = [spec for spec in option_specs(command.load_options()) if not spec.hidden]
        parts.append("\n".join(_row(spec) for spec in specs) + "\n")
    return "\n".join(parts)


def _row(spec: OptionSpec) -> str:
    names = ", ".join(f"`--{name}`" for name in (spec.name, *spec.aliases))
    kind = " or ".join(f"`{c}`" for c in spec.choices) or spec.type.__name__
    default = "required" if spec.required else f"`{_shown(spec.default)}`"
    text = spec.help.replace("|", "\\|").replace("\n", " ")
    return f"| {names} | {kind}{' ...' if spec.many else ''} | {default} | {text} |"


def _shown(default: object) -> str:
    if default is None or default in ("", []):
        return "none"
    if isinstance(default, list):
        return " ".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else str(default)


def modules_page() -> str:
    """``docs/modules.md``: one line a file, its first sentence."""
    head = (
        "# Modules\n\nOne line a file, made from the code by `python tools/document.py`. How they "
        "work together is in [architecture.md](architecture.md).\n"
    )
    return head + _listed()


def architecture_page(current: str) -> str:
    """``docs/architecture.md`` with its list of packages made anew: one line each."""
    before, rest = current.split(BEGIN)
    after = rest.split(END)[1]
    lines = [
        f"- `{folder.parent.parent.relative_to(ROOT)}` {_first_sentence(folder / '__init__.py')}"
        for folder in _packages()
    ]
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"


def _packages() -> list[Path]:
    return [next(ROOT.glob(f"*/llm-{name}/src/llm_{name}")) for name in ORDER]


def _listed() -> str:
    lines = []
    for folder in _packages():
        lines.append(f"\n## {folder.parent.parent.relative_to(ROOT)}\n")
        for file in sorted(folder.rglob("*.py")):
            path = str(file.relative_to(folder.parent)).removesuffix("__init__.py")
            lines.append(f"- `{path}` {_first_sentence(file)}")
    return "\n".join(lines) + "\n"


def _first_sentence(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    paragraph = (ast.get_docstring(tree) or "").split("\n\n")[0]
    return re.split(r"(?<=[.!?])\s", " ".join(paragraph.split()))[0]


def pages() -> dict[Path, str]:
    """Every derived page and what it should hold."""
    docs = ROOT / "docs"
    architecture = docs / "architecture.md"
    return {
        docs / "options.md": options_page(),
        docs / "modules.md": modules_page(),
        architecture: architecture_page(architecture.read_text(encoding="utf-8")),
    }


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
