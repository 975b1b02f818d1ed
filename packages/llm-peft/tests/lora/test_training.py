"""A run: it learns, its figures are written, and a resumed one is the same run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_cli.outputs import is_complete
from llm_convert.errors import AdapterError
from llm_convert.lora import LoraAdapter, read_lora
from llm_convert.model import Model, open_model
from llm_peft.errors import TargetError
from llm_peft.lora.options import LoraOptions
from llm_peft.lora.run import lora


def options(base: Path, questions: Path, output: Path, **more: Any) -> LoraOptions:
    settings: dict[str, Any] = {
        "model_name_or_path": str(base),
        "dataset_name_or_path": str(questions),
        "output_dir": str(output),
        "src_length": 16,
        "max_length": 32,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "learning_rate": 0.01,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "device": "cpu",
    }
    return LoraOptions(**{**settings, **more})


def figures(output: Path, name: str) -> dict[int, float]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {record["step"]: record[name] for record in records if name in record}


def same(first: LoraAdapter, second: LoraAdapter) -> bool:
    return all(
        np.array_equal(mine, theirs)
        for key in first.pairs
        for mine, theirs in zip(first.pairs[key], second.pairs[key], strict=True)
    )


@pytest.fixture(scope="module")
def memorised(base_folder: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that had time to learn eight answers by heart."""
    output = tmp_path_factory.mktemp("memorised") / "adapter"
    lora(options(base_folder, questions, output, max_steps=40, do_eval=True, eval_steps=20))
    return output


def test_the_answers_are_learnt(memorised: Path) -> None:
    held_out = figures(memorised, "eval_loss")
    assert set(held_out) == {0, 20, 40}
    assert held_out[0] > 3.0
    assert held_out[40] < 0.3 < held_out[20] < held_out[0]
    assert figures(memorised, "loss")[40] < 0.3
    assert (memorised / "loss.png").stat().st_size > 1000


def test_the_output_is_a_complete_adapter_and_no_model(memorised: Path, base: Model) -> None:
    assert is_complete(memorised)
    names = {path.name for path in memorised.iterdir()}
    assert {"lora_config.json", "lora_model_state.pdparams", "tokenizer.json", "llm.json"} <= names
    assert not {"config.json", "model.safetensors"} & names
    adapter = read_lora(memorised, base)
    assert (adapter.rank, adapter.scaling) == (8, 2.0)
    assert all(np.abs(b).max() > 0 for _, b in adapter.pairs.values())


def test_the_base_is_left_as_it_was(memorised: Path, base_folder: Path, golden: Path) -> None:
    assert memorised.is_dir()
    stored = (base_folder / "model.safetensors").read_bytes()
    assert stored == (golden / "llama_v2_gqa" / "model.safetensors").read_bytes()


def test_a_resumed_run_is_the_uninterrupted_one(
    base_folder: Path, questions: Path, base: Model, tmp_path: Path
) -> None:
    more = {
        "max_steps": 6,
        "save_steps": 3,
        "lora_dropout": 0.2,
        "neftune": True,
        "lora_plus_scale": 2.0,
    }
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    lora(options(base_folder, questions, whole, **more))
    resumed.mkdir()
    shutil.copytree(whole / "checkpoint-3", resumed / "checkpoint-3")
    lora(options(base_folder, questions, resumed, **more))
    assert same(read_lora(whole, base), read_lora(resumed, base))
    after = {step: loss for step, loss in figures(whole, "loss").items() if step > 3}
    assert figures(resumed, "loss") == after
    assert not same(read_lora(whole, base), read_lora(whole / "checkpoint-3", base))


def test_training_goes_on_from_an_adapter(
    memorised: Path, base_folder: Path, questions: Path, tmp_path: Path
) -> None:
    more = {"lora_path": str(memorised), "max_steps": 1, "do_eval": True}
    lora(options(base_folder, questions, tmp_path / "more", **more))
    start = figures(tmp_path / "more", "eval_loss")[0]
    assert start == pytest.approx(figures(memorised, "eval_loss")[40], rel=1e-4)
    more["lora_rank"] = 4
    with pytest.raises(TargetError, match="is 8, not 4"):
        lora(options(base_folder, questions, tmp_path / "other", **more))


def test_training_does_not_go_on_from_an_adapter_of_another_base(
    memorised: Path, another_base: Model, questions: Path, tmp_path: Path
) -> None:
    other = another_base.path
    with pytest.raises(AdapterError, match=r"was trained on .*are others"):
        lora(options(other, questions, tmp_path / "a", lora_path=str(memorised), max_steps=1))
    assert not (tmp_path / "a").exists()


def test_what_is_wrong_is_said_before_anything_is_written(
    base_folder: Path, questions: Path, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match="--target_modules nothing"):
        lora(options(base_folder, questions, tmp_path / "a", target_modules=["nothing"]))
    with pytest.raises(ValueError, match=r"The model folder .* does not exist") as caught:
        lora(options(tmp_path / "no", questions, tmp_path / "a"))
    assert caught.value.exit_code == 2
    with pytest.raises(ValueError, match="no-data"):
        lora(options(base_folder, tmp_path / "no-data", tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_experts_learn_too(
    golden: Path, questions: Path, base_folder: Path, tmp_path: Path
) -> None:
    made = options(
        golden / "mixtral", questions, tmp_path / "moe", max_steps=12, do_eval=True, eval_steps=12
    )
    made.tokenizer_name_or_path = str(base_folder)
    lora(made)
    held_out = figures(tmp_path / "moe", "eval_loss")
    assert held_out[12] < held_out[0] - 0.5
    model = open_model(golden / "mixtral")
    assert any(key.expert is not None for key in read_lora(tmp_path / "moe", model).pairs)
