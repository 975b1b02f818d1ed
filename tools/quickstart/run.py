"""One model through its whole life: ``python tools/quickstart/run.py [FOLDER]``.

Every step is a command line that is printed before it runs, so that it can be repeated by hand.
A step whose output is complete is not run again; remove FOLDER to start anew.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from llm_cli.outputs import written_file

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Step:
    """One command, and the file that is there once it has been done."""

    phase: str
    command: list[str]
    proof: Path


def steps(run: Path, here: Path) -> list[Step]:
    """The life of the model, in order."""
    text, tokenizer, data = run / "text", run / "tokenizer", run / "data" / "stdlib"
    base, lora, merged, int4 = run / "base", run / "lora", run / "merged", run / "int4"
    source = text / "source.jsonl"
    bench = ["--src_length", "128", "--max_length", "384", "--batch_size", "1", "--benchmark"]
    table: list[tuple[str, list[str | Path], Path]] = [
        ("corpus", [sys.executable, here / "corpus.py", text], text / "prompts.json"),
        ("tokenizer", [
            "llm", "data", "train-tokenizer", "--input_path", source, "--vocab_size", "4096",
            "--output_path", tokenizer,
        ], tokenizer / "COMPLETE"),
        ("tokenize", [
            "llm", "data", "tokenize", "--input_path", source, "--tokenizer_name_or_path",
            tokenizer, "--append_eos", "--workers", "2", "--output_prefix", data,
        ], data.with_suffix(".idx")),
        ("pretrain", [
            "llm", "train", "pretrain", here / "pretrain.json", "--model_name_or_path",
            here / "model", "--tokenizer_name_or_path", tokenizer, "--input_dir", data.parent,
            "--output_dir", base,
        ], base / "COMPLETE"),
        ("LoRA", [
            "llm", "peft", "lora", here / "lora.json", "--model_name_or_path", base,
            "--dataset_name_or_path", text / "sft", "--output_dir", lora,
        ], lora / "COMPLETE"),
        ("merge", [
            "llm", "peft", "merge", "--model_name_or_path", base, "--lora_path", lora,
            "--output_path", merged,
        ], merged / "COMPLETE"),
        ("GPTQ int4", [
            "llm", "quant", "gptq", "--model_name_or_path", merged, "--input_dir", data.parent,
            "--split", "950,50,0", "--group_size", "32", "--gptq_step", "16", "--max_length",
            "256", "--output_path", int4,
        ], int4 / "COMPLETE"),
        ("generate", [
            "llm", "infer", "--model_name_or_path", int4, "--block_attn", "--data_file",
            text / "prompts.json", "--max_length", "128", "--output_file", run / "answers.json",
        ], run / "answers.json"),
        ("benchmark fp32", [
            "llm", "infer", "--model_name_or_path", merged, *bench, "--output_file",
            run / "benchmark-fp32.json",
        ], run / "benchmark-fp32.json"),
        ("benchmark int4", [
            "llm", "infer", "--model_name_or_path", int4, *bench, "--output_file",
            run / "benchmark-int4.json",
        ], run / "benchmark-int4.json"),
        ("evaluate", [
            "llm", "quant", "report", "--model_name_or_path", merged,
            "--quantized_model_name_or_path", int4, base, "--input_dir", data.parent, "--split",
            "950,50,0", "--max_length", "256", "--max_eval_tokens", "60000", "--output_file",
            run / "quality.json",
        ], run / "quality.json"),
        ("report", [sys.executable, here / "report.py", run], run / "report.md"),
    ]  # fmt: skip
    return [Step(phase, [str(word) for word in words], proof) for phase, words, proof in table]


def run_step(step: Step, timings: Path) -> None:
    """Run one command and add its seconds, also of a try that failed; leave if it fails."""
    sys.stdout.write(f"\n$ {shlex.join(step.command)}\n")
    sys.stdout.flush()
    start = time.monotonic()
    code = 1
    try:
        code = subprocess.run(step.command, check=False).returncode
    finally:
        add_seconds(timings, step.phase, time.monotonic() - start)
    if code:
        sys.exit(code)


def add_seconds(timings: Path, phase: str, seconds: float) -> None:
    """Add to the seconds of a phase; the file is there whole or not at all."""
    known = json.loads(timings.read_text()) if timings.is_file() else {}
    known[phase] = round(known.get(phase, 0.0) + seconds, 1)
    with written_file(timings) as stream:
        stream.write(json.dumps(known, indent=2).encode())


def main(run: Path) -> None:
    """Do what has not been done yet; the report, always made anew, says the last words."""
    run.mkdir(parents=True, exist_ok=True)
    # The commands of this environment first, as if it had been activated.
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    for step in steps(run, Path(os.path.relpath(HERE))):
        if step.phase != "report" and step.proof.exists():
            sys.stdout.write(f"\n# {step.phase}: {step.proof} is there already\n")
            continue
        run_step(step, run / "seconds.json")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart"))
