"""Random Llamas for `bench_engine.py`, in the formats of every engine.

    python packages/llm-infer/benchmarks/make_models.py MODELS --peers PEERS

PEERS holds two environments: `openvino` (torch, transformers, openvino-genai, optimum-intel, nncf)
and `llama` (llama-cpp-python). Weights are N(0, 0.02): the text is meaningless, the time is not.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
from pathlib import Path

WORKERS = Path(__file__).parent / "workers"
OPENVINO = {"int4": ("--sym", "--group-size", "64", "--ratio", "1.0"), "int8": (), "fp16": ()}
SHAPES = ("0.5b", "1.1b")
VOCABULARY = 32000


def run(*command: str | Path) -> None:
    """Run a command, shown first."""
    words = [str(word) for word in command]
    sys.stderr.write(f"$ {' '.join(words)}\n")
    subprocess.run(words, check=True)


def make(models: Path, peers: Path, shape: str) -> None:
    """The model of a shape for every engine; what is there is left as it is."""
    llm = (sys.executable, "-m", "llm_cli")
    dense = models / f"llama-{shape}"
    python = peers / "openvino" / "bin" / "python"
    if not (dense / "model.safetensors").exists():
        run(python, WORKERS / "random_llama.py", shape, models / "tokenizer", dense)
    for width, options in OPENVINO.items():
        exported = models / f"openvino-{shape}-{width}"
        if not (exported / "openvino_model.bin").exists():
            command = (python.with_name("optimum-cli"), "export", "openvino", "-m", dense)
            task = ("--task", "text-generation-with-past", "--weight-format", width)
            run(*command, *task, *options, exported)
    whole = models / f"gguf-{shape}"
    if not whole.exists():
        run(*llm, "convert", "--from-torch", dense, "--to", "gguf", "--output_path", whole)
    (file,) = whole.glob("*.gguf")
    stem = models / f"llama-{shape}"
    run(peers / "llama" / "bin" / "python", WORKERS / "quantize_gguf.py", file, stem)


def main() -> None:
    """A tokenizer of this Python's own source, then every shape."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--peers", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.models.mkdir(parents=True, exist_ok=True)
    tokenizer = chosen.models / "tokenizer"
    if not tokenizer.exists():
        source = f"{sysconfig.get_path('stdlib')}/*.py"
        command = (sys.executable, "-m", "llm_cli", "data", "train-tokenizer")
        text = ("--input_path", source, "--data_format", "TEXT")
        run(*command, *text, "--vocab_size", str(VOCABULARY), "--output_path", tokenizer)
    for shape in SHAPES:
        make(chosen.models, chosen.peers, shape)


if __name__ == "__main__":
    main()
