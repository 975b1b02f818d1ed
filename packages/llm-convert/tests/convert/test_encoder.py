"""`llm convert` on encoders: round trips of every fixture, and what the command refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_cli.outputs import is_complete
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError, TensorMismatchError
from llm_convert.files.folder import open_weights
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo

ENCODERS = Path(__file__).parents[4] / "tests" / "golden" / "encoders"
FIXTURES = sorted(path.parent.name for path in ENCODERS.glob("*/config.json"))
# RoFormer's sinusoids, which every implementation computes anew.
BUFFERS = re.compile(r"roformer\.encoder\.embed_positions\.weight$")
Tensors = dict[str, np.ndarray]


def run(**options: Any) -> None:
    given: dict[str, Any] = {name: str(value) for name, value in options.items()}
    assert convert(ConvertOptions(**given)) == 0


def tensors(folder: Path) -> Tensors:
    files = open_weights(folder)
    return {name: files[name] for name in files}


def changed(source: Path, folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """A copy of a fixture with other tensors."""
    shutil.copytree(source, folder)
    arrays = change(tensors(source))
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(folder / "model.safetensors", infos, arrays.__getitem__)
    return folder


def mixed_types(arrays: Tensors) -> Tensors:
    types = (np.float32, np.float16, ml_dtypes.bfloat16)
    return {name: arrays[name].astype(types[i % 3]) for i, name in enumerate(sorted(arrays))}


def there_and_back(source: Path, folder: Path) -> Path:
    run(from_torch=source, output_path=folder / "paddle")
    run(to_torch=folder / "paddle", output_path=folder / "torch")
    return folder / "torch"


def assert_same(before: Tensors, after: Tensors) -> None:
    assert set(after) == set(before)
    for name, array in after.items():
        assert (array.dtype, array.shape) == (before[name].dtype, before[name].shape), name
        assert array.tobytes() == before[name].tobytes(), name


@pytest.mark.parametrize("name", FIXTURES)
def test_there_and_back_is_bit_exact(tmp_path: Path, name: str) -> None:
    source = changed(ENCODERS / name, tmp_path / "source", mixed_types)
    back = there_and_back(source, tmp_path)
    kept = {key: a for key, a in tensors(source).items() if not BUFFERS.search(key)}
    assert_same(kept, tensors(back))
    original = json.loads((source / "config.json").read_text())
    config = json.loads((back / "config.json").read_text())
    fields = ("dtype", "torch_dtype")
    assert {k: v for k, v in config.items() if k not in fields} == {
        k: v for k, v in original.items() if k not in fields
    }


def test_what_the_command_writes_and_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(ENCODERS / "bert", source)
    (source / "vocab.txt").write_text("[PAD]\n")
    (source / "tokenizer.json").write_text("{}")
    out = tmp_path / "out"
    run(from_torch=source, output_path=out, max_shard_size="10KB", dtype="bfloat16")
    assert is_complete(out)
    names = {file.name for file in out.iterdir()}
    assert {"llm.json", "config.json", "tokenizer.json", "model.safetensors.index.json"} <= names
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["BertForPretraining"]
    assert config["dtype"] == "bfloat16"
    assert {array.dtype for array in tensors(out).values()} == {np.dtype(ml_dtypes.bfloat16)}
    said = capsys.readouterr().out
    assert "BertForPreTraining, 6,002 parameters, paddlenlp layout, bfloat16" in said
    assert "tokenizer.json" in said


def test_recasting_within_one_layout(tmp_path: Path) -> None:
    run(from_torch=ENCODERS / "t5", output_path=tmp_path / "x", to="hf", dtype="float16")
    before, after = tensors(ENCODERS / "t5"), tensors(tmp_path / "x")
    assert_same({name: array.astype(np.float16) for name, array in before.items()}, after)


def test_a_source_of_the_other_layout_is_refused(tmp_path: Path) -> None:
    run(from_torch=ENCODERS / "mt5", output_path=tmp_path / "paddle")
    with pytest.raises(ConvertError, match=r"holds paddlenlp names, not hf ones.*--to_torch"):
        run(from_torch=tmp_path / "paddle", output_path=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_broken_source_leaves_nothing(tmp_path: Path) -> None:
    def broken(arrays: Tensors) -> Tensors:
        arrays["bert.pooler.dense.bias"] = arrays["bert.pooler.dense.bias"][:3]
        arrays["stray"] = arrays.pop("cls.seq_relationship.bias")
        return arrays

    source = changed(ENCODERS / "bert", tmp_path / "source", broken)
    with pytest.raises(TensorMismatchError) as caught:
        run(from_torch=source, output_path=tmp_path / "x")
    message = str(caught.value)
    assert "1 missing: cls.seq_relationship.bias" in message
    assert "1 unknown: stray" in message
    assert "bert.pooler.dense.bias is [3], expected [16]" in message
    assert not (tmp_path / "x").exists()


def test_files_without_the_prefix_of_the_body(tmp_path: Path) -> None:
    """What `AutoModel.save_pretrained` writes of a model whose class has a head."""

    def bare(arrays: Tensors) -> Tensors:
        return {name.removeprefix("bert."): array for name, array in arrays.items()}

    source = changed(ENCODERS / "bert", tmp_path / "source", bare)
    back = there_and_back(source, tmp_path)
    assert "embeddings.word_embeddings.weight" in tensors(tmp_path / "paddle")
    assert_same(tensors(source), tensors(back))


def test_norms_spelt_as_in_the_first_years(tmp_path: Path) -> None:
    def old(arrays: Tensors) -> Tensors:
        spelt = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for usual, first in spelt.items():
            arrays = {
                name.removesuffix(usual) + first if name.endswith(usual) else name: array
                for name, array in arrays.items()
            }
        return arrays

    source = changed(ENCODERS / "bert", tmp_path / "source", old)
    back = there_and_back(source, tmp_path)
    run(from_torch=ENCODERS / "bert", output_path=tmp_path / "usual")
    assert_same(tensors(tmp_path / "usual"), tensors(tmp_path / "paddle"))
    assert_same(tensors(source), tensors(back))


def test_a_head_beyond_the_class_comes_along(tmp_path: Path) -> None:
    """The hub's bert-base-uncased: class BertForMaskedLM, weights of BertForPreTraining."""
    source = tmp_path / "source"
    shutil.copytree(ENCODERS / "bert", source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(
        json.dumps({**config, "architectures": ["BertForMaskedLM"]})
    )
    back = there_and_back(source, tmp_path)
    assert tensors(tmp_path / "paddle")["cls.seq_relationship.weight"].shape == (16, 2)
    assert_same(tensors(source), tensors(back))
