"""Tied tensors: copies, duplicates and heads that were trained apart, in both directions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llm_convert.encoders import find_encoder, open_encoder, planned_bytes, save_encoder
from llm_convert.errors import TensorMismatchError
from llm_convert.files.folder import open_weights
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.model import read_config
from llm_convert.saving import Naming

Tensors = dict[str, np.ndarray]


def tensors(folder: Path) -> Tensors:
    files = open_weights(folder)
    return {name: files[name] for name in files}


def changed(source: Path, folder: Path, change: Callable[[Tensors], None]) -> Path:
    shutil.copytree(source, folder)
    arrays = tensors(source)
    change(arrays)
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(folder / "model.safetensors", infos, arrays.__getitem__)
    return folder


def saved(source: Path, folder: Path, naming: Naming) -> Path:
    config = read_config(source)
    found = find_encoder(config)
    assert found is not None
    folder.mkdir()
    checkpoint = open_encoder(source, config, found)
    save_encoder(folder, checkpoint, naming=naming, max_shard_size="4GB")
    return folder


@pytest.mark.parametrize(
    ("name", "copy", "embedding", "transposed"),
    [
        ("bart", "lm_head_weight", "bart.shared.weight", False),
        ("albert", "predictions.decoder.weight", "transformer.embeddings.word_embeddings", False),
        ("distilbert", "vocab_projector.weight", "distilbert.embeddings.word_embeddings", True),
    ],
)
def test_paddlenlp_gets_a_copy_where_it_does_not_tie(
    golden: Path, tmp_path: Path, name: str, copy: str, embedding: str, transposed: bool
) -> None:
    source = golden / "encoders" / name
    held = tensors(saved(source, tmp_path / "paddle", "paddlenlp"))
    embedding = embedding if embedding.endswith(".weight") else embedding + ".weight"
    expected = held[embedding].T if transposed else held[embedding]
    np.testing.assert_array_equal(held[copy], expected)
    back = tensors(saved(tmp_path / "paddle", tmp_path / "torch", "hf"))
    assert set(back) == set(tensors(source))


def test_a_head_trained_apart_in_paddlenlp_is_kept(golden: Path, tmp_path: Path) -> None:
    saved(golden / "encoders" / "distilbert", tmp_path / "paddle", "paddlenlp")
    head = np.arange(16 * 64, dtype=np.float32).reshape(16, 64)

    def trained(arrays: Tensors) -> None:
        arrays["vocab_projector.weight"] = head

    apart = changed(tmp_path / "paddle", tmp_path / "apart", trained)
    back = saved(apart, tmp_path / "torch", "hf")
    np.testing.assert_array_equal(tensors(back)["vocab_projector.weight"], head.T)
    assert read_config(back)["tie_word_embeddings"] is False


def duplicated(arrays: Tensors) -> None:
    """What torch's .bin files repeat of a T5 model."""
    for name in ("lm_head", "encoder.embed_tokens", "decoder.embed_tokens"):
        arrays[f"{name}.weight"] = arrays["shared.weight"]


def test_duplicates_come_back(golden: Path, tmp_path: Path) -> None:
    source = changed(golden / "encoders" / "t5", tmp_path / "source", duplicated)
    paddle = tensors(saved(source, tmp_path / "paddle", "paddlenlp"))
    # Its class has no place for the head, but for the others.
    assert "lm_head.weight" not in paddle
    assert "t5.encoder.embed_tokens.weight" in paddle
    back = tensors(saved(tmp_path / "paddle", tmp_path / "torch", "hf"))
    before = tensors(source)
    assert {name: array.tobytes() for name, array in back.items()} == {
        name: array.tobytes() for name, array in before.items()
    }


@pytest.mark.parametrize("name", ["lm_head.weight", "encoder.embed_tokens.weight"])
def test_a_duplicate_that_differs_is_refused(golden: Path, tmp_path: Path, name: str) -> None:
    def differing(arrays: Tensors) -> None:
        duplicated(arrays)
        arrays[name] = arrays[name] + 1

    source = changed(golden / "encoders" / "t5", tmp_path / "source", differing)
    with pytest.raises(TensorMismatchError, match=f"{name} should repeat shared.weight"):
        saved(source, tmp_path / "paddle", "paddlenlp")


def test_an_untied_head_may_differ(golden: Path, tmp_path: Path) -> None:
    def head(arrays: Tensors) -> None:
        arrays["lm_head.weight"] = arrays["model.shared.weight"] + 1

    source = changed(golden / "encoders" / "bart", tmp_path / "source", head)
    config = read_config(source)
    (source / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    paddle = saved(source, tmp_path / "paddle", "paddlenlp")
    np.testing.assert_array_equal(
        tensors(paddle)["lm_head_weight"], tensors(source)["lm_head.weight"]
    )
    back = saved(paddle, tmp_path / "torch", "hf")
    assert set(tensors(back)) == set(tensors(source))


def test_scalars_and_projections_of_clip(golden: Path, tmp_path: Path) -> None:
    source = tensors(golden / "encoders" / "clip")
    paddle = tensors(saved(golden / "encoders" / "clip", tmp_path / "paddle", "paddlenlp"))
    assert paddle["logit_scale"].shape == (1,)
    np.testing.assert_array_equal(paddle["text_projection"], source["text_projection.weight"].T)


def test_planned_bytes(golden: Path) -> None:
    folder = golden / "encoders" / "bert"
    config = read_config(folder)
    found = find_encoder(config)
    assert found is not None
    checkpoint = open_encoder(folder, config, found)
    total = sum(array.nbytes for array in tensors(folder).values())
    assert planned_bytes(checkpoint, None) == total
    assert planned_bytes(checkpoint, "float16") == total // 2
