"""The quickstart's own scripts: its text, its steps, and a report that can say no."""

from __future__ import annotations

import importlib.util
import json
import shutil
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
        "data": {"unigram_entropy": 6.0, "scored_tokens": 1000},
        "models": [{"perplexity": 10.0}, {"perplexity": int4}, {"loss": final}],
    }
    judged = script("report").bars(quality, {"all": seconds, "report": 100})
    assert [bar.held for bar in judged] == verdict


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What the steps leave, as small as the report can read."""
    for phase in ("base", "lora", "merged", "int4"):
        (tmp_path / phase).mkdir()
        (tmp_path / phase / "model.safetensors").write_bytes(b"0" * 1000)
    rows = [{"step": 0, "eval_loss": 8.0, "eval_tokens": 40960}, {"step": 9, "loss": 4.5}]
    rows.append({"step": 9, "eval_loss": 4.337, "eval_tokens": 40960})
    for phase in ("base", "lora"):
        text = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / phase / "metrics.jsonl").write_text(text)
    models = [{"perplexity": p, "loss": 4.522} for p in (92.0, 92.5, 92.0)]
    data = {"unigram_entropy": 6.248, "scored_tokens": 60000}
    write(tmp_path / "quality.json", {"data": data, "models": models})
    write(tmp_path / "seconds.json", {"pretrain": 800.0})
    for kind, cache in (("fp32", "float32"), ("int4", "bfloat16")):
        figures = {"cachekv": cache, "decode_tokens_per_s": 9, "prefill_tokens_per_s": 9}
        write(tmp_path / f"benchmark-{kind}.json", {**figures, "rss_mb": 70})
    row = {"src": "def f():", "tgt": "Short.", "output": "the same `is` " * 40}
    write(tmp_path / "answers.json", row)
    return tmp_path


def write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def test_missing_the_time_does_not_fail_the_run(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        script("report").main(run_folder)
    assert left.value.code == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert [line.split(":")[0] for line in said] == [
        "- reached",
        "- reached",
        "- MISSED, which does not fail the run",
    ]


def test_missing_quality_does(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quality = json.loads((run_folder / "quality.json").read_text())
    quality["models"][1]["perplexity"] = 99.0
    write(run_folder / "quality.json", quality)
    with pytest.raises(SystemExit) as left:
        script("report").main(run_folder)
    assert left.value.code == 1
    assert "- MISSED: Perplexity of int4 is 99.000" in capsys.readouterr().out


def test_a_finished_run_is_only_reported_again(
    tmp_path: Path, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = script("run")
    finished = shutil.copytree(run_folder, tmp_path / "finished")
    for step in run.steps(finished, FOLDER):
        step.proof.parent.mkdir(parents=True, exist_ok=True)
        step.proof.touch()
    for _ in range(2):
        run.main(finished)
        assert "reached: After pretraining" in capfd.readouterr().out


def test_the_report_names_both_sets_of_tokens_and_cuts_long_answers(run_folder: Path) -> None:
    report = script("report")
    text, _ = report.report(run_folder)
    assert "loss over 60,000 held-out tokens is 4.522" in text
    assert "40,960 of them: the curve ends at 4.337" in text
    assert "| int4 | bfloat16 | 9 |" in text
    assert f"(cut: the first {report.MOST_CHARACTERS} of 559 characters)" in text
    assert "    Short.\n" in text
    assert max(map(len, text.splitlines())) < 200
    assert (run_folder / "loss.png").stat().st_size > 1000
