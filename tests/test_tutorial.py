"""The commands of the README, run as they stand there, in an empty folder, one after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SIZES = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}


def tutorial() -> str:
    """The first shell block of the README: from text to an answer."""
    block = re.search(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert block is not None
    return block[1]


def prepare(folder: Path) -> None:
    """The files that the README says a user brings."""
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = [file.read_text(encoding="utf-8") for file in sorted(library.glob("*.py"))[:60]]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(SIZES))
    (folder / "sft").mkdir()
    for part, count in (("train", 64), ("dev", 8)):
        rows = [{"src": f"def add_{i}(a):\n", "tgt": f"Add {i} to a."} for i in range(count)]
        (folder / "sft" / f"{part}.json").write_text("".join(json.dumps(r) + "\n" for r in rows))


@pytest.mark.slow
def test_the_readme_leads_from_text_to_an_answer(tmp_path: Path) -> None:
    prepare(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(
        ["bash", "-euxc", tutorial()],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-6000:]
    for output in ("tokenizer", "base", "lora", "merged", "int4", "merged-hf"):
        assert (tmp_path / output / "COMPLETE").is_file(), output
        assert json.loads((tmp_path / output / "llm.json").read_text())["command"]
    assert (tmp_path / "base" / "loss.png").read_bytes().startswith(b"\x89PNG")
    weights = (tmp_path / "int4" / "model.safetensors").stat().st_size
    assert weights < (tmp_path / "merged" / "model.safetensors").stat().st_size
    assert "Traceback" not in answer.stderr
