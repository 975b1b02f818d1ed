"""The quickstart's text: the Python standard library's own source and docstrings.

``python corpus.py FOLDER`` writes ``FOLDER/source.jsonl`` (one ``{"text"}`` a source file, in a
shuffled order so that the last documents are a fair held-out part), ``FOLDER/sft/train.json`` and
``dev.json`` (one ``{"src", "tgt"}`` a function: signature and first paragraph of its docstring) and
``FOLDER/prompts.json`` (ten held-out signatures to answer).
"""

from __future__ import annotations

import ast
import json
import random
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SEED = 1234
LEAST_BYTES = 15_000_000
HELD_OUT_SHARE = 0.05
PROMPTS = 10


def source_texts() -> list[str]:
    """Sources of the standard library, topped up from site-packages if they are too small.

    Some distributions ship the library without its tests, which are half of it.
    """
    paths = sysconfig.get_paths()
    library = Path(paths["stdlib"])
    own = [p for p in sorted(library.rglob("*.py")) if "site-packages" not in p.parts]
    texts, size = [], 0
    for number, file in enumerate([*own, *sorted(Path(paths["purelib"]).rglob("*.py"))]):
        if number >= len(own) and size >= LEAST_BYTES:
            break
        text = file.read_text(encoding="utf-8", errors="ignore")
        if text.strip():
            texts.append(text)
            size += len(text.encode())
    return texts


def pairs(text: str) -> Iterator[dict[str, str]]:
    """A ``{"src", "tgt"}`` for every function of ``text`` that has a docstring."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # the library's tests hold files that are wrong on purpose
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        paragraph = " ".join((docstring or "").split("\n\n")[0].split())
        if len(paragraph) >= 10:
            yield {"src": f"def {node.name}({ast.unparse(node.args)}):\n", "tgt": paragraph}


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    """One JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main(folder: Path) -> None:
    """Write the three parts below ``folder``."""
    shuffle = random.Random(SEED)
    texts = source_texts()
    shuffle.shuffle(texts)
    write_lines(folder / "source.jsonl", [{"text": text} for text in texts])

    # Pairs of the held-out files stay out of training, and no pair is in both parts.
    border = int(len(texts) * (1 - HELD_OUT_SHARE))
    train = {row["src"]: row for text in texts[:border] for row in pairs(text)}
    held = {row["src"]: row for text in texts[border:] for row in pairs(text)}
    dev = [row for src, row in held.items() if src not in train]
    shuffle.shuffle(dev)
    write_lines(folder / "sft" / "train.json", list(train.values()))
    write_lines(folder / "sft" / "dev.json", dev[PROMPTS:])
    write_lines(folder / "prompts.json", dev[:PROMPTS])
    size = sum(len(text.encode()) for text in texts)
    sys.stdout.write(
        f"{len(texts)} files, {size / 1e6:.1f} MB of source; {len(train)} pairs to train on, "
        f"{len(dev) - PROMPTS} held out, {PROMPTS} prompts\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
