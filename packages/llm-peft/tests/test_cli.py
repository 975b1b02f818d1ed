"""The commands as `llm` sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cli.main import run

STOCK = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "per_device_eval_batch_size": 8,
    "eval_accumulation_steps": 16,
    "num_train_epochs": 3,
    "learning_rate": 3e-04,
    "warmup_steps": 30,
    "logging_steps": 1,
    "evaluation_strategy": "epoch",
    "save_strategy": "epoch",
    "src_length": 1024,
    "max_length": 2048,
    "do_train": True,
    "do_eval": True,
    "disable_tqdm": True,
    "load_best_model_at_end": True,
    "eval_with_do_generation": False,
    "metric_for_best_model": "accuracy",
    "recompute": True,
    "save_total_limit": 1,
    "tensor_parallel_degree": 1,
    "pipeline_parallel_degree": 1,
    "lora": True,
    "zero_padding": False,
    "use_flash_attention": False,
    "unified_checkpoint": True,
    "pissa": False,
}


def test_describing_the_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys, llm_peft.cli, llm_peft.lora.options, llm_peft.merge.options\n"
        "heavy = {'numpy', 'paddle', 'paddlenlp', 'tokenizers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["lora", "merge"])
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["peft", name, "--help"]) == 0
    assert "--lora_path" in capsys.readouterr().out


def test_a_recipe_of_paddlenlp_is_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {**STOCK, "model_name_or_path": str(tmp_path / "absent"), "output_dir": "out"}
    (tmp_path / "lora.json").write_text(json.dumps(recipe))
    assert run(["peft", "lora", str(tmp_path / "lora.json")]) == 2
    # Every key is known: what is wrong is the model's folder.
    assert f"The model folder {tmp_path / 'absent'} does not exist" in capsys.readouterr().err
    recipe["lora_rnak"] = 4
    (tmp_path / "lora.json").write_text(json.dumps(recipe))
    assert run(["peft", "lora", str(tmp_path / "lora.json")]) == 2
    assert "lora_rank" in capsys.readouterr().err
