"""Models into folders."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle

from llm_convert.model import open_model
from llm_train.model import FullModelFiles, build_model
from llm_train.model.files import state_token_ids


def test_save_and_load_are_inverse(config_folder: Path, tmp_path: Path) -> None:
    model = build_model(config_folder, continue_training=False, seed=1)
    FullModelFiles(model).save(tmp_path)
    before = {name: p.numpy() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.set_value(paddle.zeros_like(parameter))
    FullModelFiles(model).load(tmp_path)
    assert all(np.array_equal(before[name], p.numpy()) for name, p in model.named_parameters())


def test_the_folder_is_paddlenlps(config_folder: Path, tmp_path: Path) -> None:
    model = build_model(config_folder, continue_training=False)
    FullModelFiles(model).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    stored = open_model(tmp_path)
    assert stored.naming == "paddlenlp"
    header = (tmp_path / "model.safetensors").read_bytes()[8:4000]
    assert (
        b'"llama.layers.0.mlp.down_proj.weight":{"dtype":"F32","shape":[48,32]'
        in header.replace(b" ", b"")
    )


def test_the_tokenizers_files_go_along(config_folder: Path, tmp_path: Path) -> None:
    home, out = tmp_path / "tokenizer", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    (home / "tokenizer.json").write_text("{}")
    model = build_model(config_folder, continue_training=False)
    tokenizer: Any = SimpleNamespace(path=home)
    FullModelFiles(model, tokenizer).save(out)
    assert (out / "tokenizer.json").read_text() == "{}"


def test_special_ids_are_stated_where_they_are_missing() -> None:
    tokenizer: Any = SimpleNamespace(bos_token_id=1, eos_token_id=2, pad_token_id=None)
    config: dict[str, Any] = {"eos_token_id": 9, "bos_token_id": None}
    state_token_ids(config, tokenizer)
    assert config == {"eos_token_id": 9, "bos_token_id": 1}
