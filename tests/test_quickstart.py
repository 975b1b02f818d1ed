"""The quickstart's own scripts: its text, its steps, and a report that can say no."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "tools" / "quickstart"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"quickstart_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up while it is being executed
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_pairs_are_signatures_and_first_paragraphs() -> None:
    text = (
        'def area(w: int, h=2) -> int:\n    """Width times\n    height.\n\n    More."""\n'
        'def _(): pass\nasync def go():\n    """Too short"""\n'
    )
    assert list(script("corpus").pairs(text)) == [
        {"src": "def area(w: int, h=2):\n", "tgt": "Width times height."}
    ]
    assert list(script("corpus").pairs("def (:")) == []


def test_the_library_is_large_enough_and_parts_do_not_overlap(tmp_path: Path) -> None:
    corpus = script("corpus")
    corpus.main(tmp_path)
    texts = [json.loads(line)["text"] for line in (tmp_path / "source.jsonl").open()]
    assert sum(len(text.encode()) for text in texts) >= corpus.LEAST_BYTES
    parts = {
        name: {json.loads(line)["src"] for line in (tmp_path / name).open()}
        for name in ("sft/train.json", "sft/dev.json", "prompts.json")
    }
    train, dev, prompts = parts.values()
    assert len(prompts) == corpus.PROMPTS
    assert not train & dev
    assert not (train | dev) & prompts


def test_every_command_of_the_steps_exists() -> None:
    from llm_cli.options import option_specs

    found = dict(script_commands())
    for step in script("run").steps(Path("runs/x"), FOLDER):
        if step.command[0] != "llm":
            continue
        words = [w for w in step.command[1:3] if not w.startswith("-")]
        command = found.get(" ".join(words)) or found[f"{words[0]} predict"]
        known = {n for s in option_specs(command.load_options()) for n in (s.name, *s.aliases)}
        given = {w[2:].replace("-", "_") for w in step.command if w.startswith("--")}
        assert given <= known, step.command
        for file in (w for w in step.command if w.endswith(".json") and "quickstart" in w):
            keys = set(json.loads(Path(file).read_text())) if Path(file).is_file() else set()
            assert {key.replace("-", "_") for key in keys} <= known


def script_commands() -> list[tuple[str, object]]:
    spec = importlib.util.spec_from_file_location("document", FOLDER.parent / "document.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.commands())


@pytest.mark.parametrize(
    ("final", "int4", "seconds", "verdict"),
    [
        (4.9, 10.2, 400, [True, True, True]),
        (5.1, 10.2, 400, [False, True, True]),
        (4.9, 10.4, 400, [True, False, True]),
        (4.9, 10.2, 481, [True, True, False]),
    ],
)
def test_the_report_can_say_no(
    final: float, int4: float, seconds: float, verdict: list[bool]
) -> None:
    quality = {
        "data": {"unigram_entropy": 6.0},
        "models": [{"perplexity": 10.0}, {"perplexity": int4}, {"loss": final}],
    }
    judged = script("report").bars(quality, {"all": seconds})
    assert [ok for _, ok in judged] == verdict
