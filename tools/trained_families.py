"""llm-train's table of families, from runs: ``python tools/trained_families.py``.

Every family is trained for some steps: on text, on packed questions and answers of which only the
answers count, and on text by two processes that share each layer. The first two are ``yes`` where
the loss falls, the last where its losses are those of one process. A test makes the table anew and
compares.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from llm_kernels.errors import KernelsError
from llm_kernels.families import FAMILIES, detect, read_sizes
from llm_train.errors import RecipeError
from llm_train.parallel.fit import check_layout
from llm_train.parallel.layout import Layout
from llm_train.precheck import check_config

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
README = ROOT / "packages" / "llm-train" / "README.md"
HERD = ROOT / "packages" / "llm-train" / "tests" / "parallel" / "herd.py"
BEGIN, END = "<!-- trained families: begin -->", "<!-- trained families: end -->"
STEPS, ROWS = 3, 16
WAYS: dict[str, dict[str, Any]] = {
    "pretrain": {},
    "sft": {"packed": True},
    "tensor": {"options": {"tensor_parallel_degree": 2}},
}


def models() -> dict[str, Path | None]:
    """Family -> a golden checkpoint that two processes can share; None: it is not trained."""
    found: dict[str, Path | None] = {}
    for folder in sorted(file.parent for file in GOLDEN.glob("*/config.json")):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        try:
            spec = detect(config)
            check_config(config)
            check_layout(Layout(tensor=2), spec, read_sizes(spec, config))
        except RecipeError:
            found.setdefault(spec.name, None)
        except KernelsError:
            continue
        else:
            found[spec.name] = found.get(spec.name) or folder
    return {name: found[name] for name in FAMILIES if name in found}


def run(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Family -> way -> losses of its steps; everything is written into `folder`."""
    trained = {name: model for name, model in models().items() if model is not None}
    jobs = [
        {"processes": 1, "cases": [_case(n, m, w, folder) for n, m in trained.items()
                                   for w in ("pretrain", "sft")]},
        {"processes": 2, "cases": [_case(n, m, "tensor", folder) for n, m in trained.items()]},
    ]  # fmt: skip
    for number, job in enumerate(jobs):
        job["log"] = str(folder / f"job{number}")
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    command = [sys.executable, str(HERD), str(folder / "jobs.json")]
    subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL)
    return {name: {way: losses(folder / f"{name}-{way}") for way in WAYS} for name in trained}


def _case(name: str, model: Path, way: str, folder: Path) -> dict[str, Any]:
    settings = {"learning_rate": 3e-3, "lr_scheduler_type": "constant"}
    ours = WAYS[way]
    return {
        "name": f"{name}-{way}",
        "model": str(model),
        "output": str(folder / f"{name}-{way}"),
        "steps": STEPS,
        "rows": ROWS,
        **ours,
        "options": {**settings, **ours.get("options", {})},
    }


def losses(output: Path) -> list[float]:
    """The losses of a run; none where it failed."""
    file = output / "metrics.jsonl"
    if not file.is_file():
        return []
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


def falls(found: list[float]) -> bool:
    """Whether a run of all steps ended lower than it began."""
    return len(found) == STEPS and found[-1] < found[0]


def equal(found: list[float], alone: list[float]) -> bool:
    """Whether two runs have the same losses within 1e-5 of the larger."""
    pairs = zip(found, alone, strict=False)
    close = all(abs(a - b) <= 1e-5 * max(abs(b), 1.0) for a, b in pairs)
    return len(found) == len(alone) == STEPS and close


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """The rows, in the order of the registry."""
    lines = ["| family | pretrain | sft | two tensor ranks = one |", "|---|---|---|---|"]
    for name, model in models().items():
        if model is None:
            lines.append(f"| {name} | refused | refused | refused |")
            continue
        own = results.get(name, {way: [] for way in WAYS})
        marks = (
            falls(own["pretrain"]),
            falls(own["sft"]),
            equal(own["tensor"], own["pretrain"]),
        )
        cells = " | ".join("yes" if mark else "no" for mark in marks)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def between(text: str) -> str:
    """What stands between the marks."""
    found = re.search(f"{BEGIN}\n(.*?)\n{END}", text, re.DOTALL)
    assert found is not None
    return found[1]


def main() -> None:
    """Run, and write the table into the README."""
    with tempfile.TemporaryDirectory() as place:
        made = table(run(Path(place)))
    text = README.read_text(encoding="utf-8")
    README.write_text(text.replace(between(text), made), encoding="utf-8")


if __name__ == "__main__":
    main()
