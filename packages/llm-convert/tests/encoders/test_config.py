"""config.json of encoders for either ecosystem's tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_convert.encoders import find_encoder, open_encoder
from llm_convert.encoders.config import config_for_encoder
from llm_convert.model import read_config


def translated(folder: Path, naming: str, **changes: Any) -> dict[str, Any]:
    config = {**read_config(folder), **changes}
    config = {name: value for name, value in config.items() if value is not None}
    found = find_encoder(config)
    assert found is not None
    checkpoint = open_encoder(folder, config, found)
    infos = {name: checkpoint.files.info(name) for name in checkpoint.stored.values()}
    return config_for_encoder(checkpoint, naming, infos, {"tied": ["x"]}, untied=False)


def test_fields_of_another_name(golden: Path) -> None:
    config = translated(golden / "encoders" / "distilbert", "paddlenlp")
    assert (config["hidden_size"], config["dim"]) == (16, 16)
    assert config["num_attention_heads"] == 4
    assert config["dtype"] == "float32"
    assert "torch_dtype" not in config
    assert "hidden_size" in config["torch_checkpoint"]["added"]
    assert config["torch_checkpoint"]["tied"] == ["x"]


def test_assumed_sizes_are_stated(golden: Path) -> None:
    """PaddleNLP assumes 16 kinds of segments where transformers assumes 2."""
    config = translated(golden / "encoders" / "bert", "paddlenlp", type_vocab_size=None)
    assert config["type_vocab_size"] == 2
    assert config["torch_checkpoint"]["added"] == ["type_vocab_size"]


def test_a_class_that_transformers_lacks(golden: Path, tmp_path: Path) -> None:
    """ERNIE-Code as PaddleNLP saved it itself: transformers reads it as mT5."""
    from llm_convert.encoders import save_encoder

    folder = golden / "encoders" / "ernie_code"
    found = find_encoder(read_config(folder))
    assert found is not None
    save_encoder(
        tmp_path,
        open_encoder(folder, read_config(folder), found),
        naming="paddlenlp",
        max_shard_size="4GB",
    )
    config = translated(tmp_path, "hf", torch_checkpoint=None)
    assert config["architectures"] == ["MT5ForConditionalGeneration"]
    assert config["model_type"] == "mt5"
    restored = translated(tmp_path, "hf")
    assert restored["architectures"] == ["ErnieCodeForConditionalGeneration"]
    assert restored["model_type"] == "ErnieCode"
