"""Shards read as one model; shards that are missing, foreign or at odds with each other."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from llm_convert.errors import ConvertError, FileFormatError, TensorMismatchError
from llm_convert.files.pdparams import open_pdparams, write_pdparams
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.model import Model, open_model, save_model
from llm_convert.parallel.grid import find_shards
from llm_convert.parallel.merging import MergedShards
from llm_convert.parallel.writing import merge_model, split_model
from llm_kernels.families import ParameterKey

NORM = "llama.layers.0.input_layernorm.weight"


@pytest.fixture
def model(golden: Path) -> Model:
    return open_model(golden / "llama_v2_gqa")


@pytest.fixture
def shards(model: Model, tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    split_model(model, folder, tensor=2)
    return folder


def rewrite(path: Path, **changes: np.ndarray | None) -> None:
    """Replace tensors of a shard, or leave them out where None stands for them."""
    read = open_pdparams(path)
    tensors = {name: np.array(read[name]) for name in read} | changes
    kept = {name: array for name, array in tensors.items() if array is not None}
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in kept.items()}
    write_pdparams(path, infos, kept.__getitem__)


def test_shards_are_a_model(model: Model, shards: Path) -> None:
    read = open_model(shards)
    assert isinstance(read.files, MergedShards)
    for key in model.parameters:
        np.testing.assert_array_equal(read.dense(key), model.dense(key))


@pytest.mark.parametrize(("tensor", "pipeline"), [(4, 1), (2, 3), (1, 3)])
def test_shards_of_another_degree_out_of_shards(
    model: Model, shards: Path, tmp_path: Path, tensor: int, pipeline: int
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    names = split_model(open_model(shards), folder, tensor=tensor, pipeline=pipeline)
    assert len(names) == tensor * pipeline
    read = open_model(folder)
    for key in model.parameters:
        np.testing.assert_array_equal(read.dense(key), model.dense(key))


def test_a_shard_in_several_files(shards: Path, model: Model) -> None:
    for rank in (0, 1):
        whole = shards / f"model_state.tp{rank:02d}.pdparams"
        read = open_pdparams(whole)
        weight_map = {}
        for number, names in enumerate((sorted(read)[::2], sorted(read)[1::2]), 1):
            file = f"model_state.tp{rank:02d}-{number:05d}-of-00002.pdparams"
            part = {name: read.info(name) for name in names}
            write_pdparams(shards / file, part, read.__getitem__)
            weight_map |= dict.fromkeys(names, file)
        index = shards / f"model_state.pdparams.index.tp{rank:02d}.json"
        index.write_text(json.dumps({"weight_map": weight_map}))
        whole.unlink()
    key = ParameterKey("q", 1)
    np.testing.assert_array_equal(open_model(shards).dense(key), model.dense(key))


def test_whole_weights_come_first(shards: Path, golden: Path) -> None:
    shutil.copy(golden / "llama_v2_gqa" / "model.safetensors", shards)
    assert not isinstance(open_model(shards).files, MergedShards)


def test_missing_ranks_are_named(shards: Path) -> None:
    (shards / "model_state.tp00.pdparams").unlink()
    with pytest.raises(FileFormatError, match="lacks 1 of 2 shards: tp00"):
        open_model(shards)


def test_a_missing_last_rank_shows_in_the_configuration(shards: Path) -> None:
    (shards / "model_state.tp01.pdparams").unlink()
    with pytest.raises(FileFormatError, match=r"shards of 1 tensor parallel ranks.*there were 2"):
        open_model(shards)


def test_a_missing_stage(model: Model, tmp_path: Path) -> None:
    split_model(model, tmp_path, tensor=2, pipeline=3)
    (tmp_path / "model_state.tp01_pp01.pdparams").unlink()
    with pytest.raises(FileFormatError, match="lacks 1 of 6 shards: tp01_pp01"):
        open_model(tmp_path)


@pytest.mark.parametrize("suffix", ["moe00", "tp00_shard01", "tp00_pp00_moe00"])
def test_other_parallelisms_are_refused(shards: Path, suffix: str) -> None:
    for path in shards.glob("*.pdparams"):
        path.rename(shards / f"model_state.{suffix}.pdparams")
    with pytest.raises(FileFormatError, match=r"another parallelism .(moe|shard)"):
        find_shards(shards)


def test_ranks_of_different_checkpoints(shards: Path) -> None:
    rewrite(shards / "model_state.tp01.pdparams", **{NORM: None})
    with pytest.raises(FileFormatError, match=r"only one of them has .*input_layernorm"):
        open_model(shards)


def test_ranks_of_different_types(shards: Path) -> None:
    rewrite(shards / "model_state.tp01.pdparams", **{NORM: np.ones(64, np.float16)})
    with pytest.raises(FileFormatError, match="in different types or shapes"):
        open_model(shards)


def test_shards_of_another_model(shards: Path) -> None:
    path = shards / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intermediate_size": 170}))
    with pytest.raises(TensorMismatchError, match="of another shape"):
        open_model(shards)


def test_copies_that_differ_are_refused(shards: Path) -> None:
    whole = np.array(open_pdparams(shards / "model_state.tp01.pdparams")[NORM])
    whole[[3, 5]] += np.float32([0.25, 0.5])
    rewrite(shards / "model_state.tp01.pdparams", **{NORM: whole})
    model = open_model(shards)
    with pytest.raises(FileFormatError, match=NORM) as error:
        model.weight(ParameterKey("attn_norm", 0))
    assert (
        "model_state.tp01.pdparams differs from model_state.tp00.pdparams in 2 of 64 numbers, by "
        "up to 0.5" in str(error.value)
    )
    model.weight(ParameterKey("attn_norm", 1))


@pytest.mark.parametrize("name", [NORM, "llama.layers.0.self_attn.q_proj.weight"])
@pytest.mark.parametrize(("stage", "rank"), [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_every_copy_of_every_stage_is_compared(
    model: Model, tmp_path: Path, name: str, stage: int, rank: int
) -> None:
    split_model(model, tmp_path, tensor=2, pipeline=3)
    for other in (1, 2):
        for at in (0, 1):
            first = open_pdparams(tmp_path / f"model_state.tp{at:02d}_pp00.pdparams")
            copy = np.array(first[name])
            rewrite(tmp_path / f"model_state.tp{at:02d}_pp{other:02d}.pdparams", **{name: copy})
    key = ParameterKey("attn_norm" if name == NORM else "q", 0)
    np.testing.assert_array_equal(open_model(tmp_path).dense(key), model.dense(key))
    odd = f"model_state.tp{rank:02d}_pp{stage:02d}.pdparams"
    changed = np.array(open_pdparams(tmp_path / odd)[name])
    changed.flat[1] *= -1
    rewrite(tmp_path / odd, **{name: changed})
    with pytest.raises(FileFormatError, match=rf"{name}.*: {odd} differs from"):
        open_model(tmp_path).dense(key)


def test_copies_without_a_number_are_equal_too(shards: Path) -> None:
    for rank in (0, 1):
        rewrite(
            shards / f"model_state.tp{rank:02d}.pdparams", **{NORM: np.full(64, np.nan, np.float32)}
        )
    model = open_model(shards)
    assert isinstance(model.files, MergedShards)
    assert np.isnan(model.weight(ParameterKey("attn_norm", 0))).all()


@pytest.fixture
def tied(model: Model, tmp_path: Path) -> Model:
    folder = tmp_path / "tied"
    folder.mkdir()
    save_model(
        folder,
        config=model.config | {"tie_word_embeddings": True},
        spec=model.spec,
        sizes=replace(model.sizes, tied=True),
        parameters=model.weight,
        naming="paddlenlp",
    )
    return open_model(folder)


def test_a_tied_head_in_the_last_stage(tied: Model, tmp_path: Path) -> None:
    # PaddleNLP's last stage keeps the table of the first one as its head.
    split_model(tied, tmp_path, tensor=2)
    for rank in (0, 1):
        path = tmp_path / f"model_state.tp{rank:02d}.pdparams"
        read = open_pdparams(path)
        last = {name: read.info(name) for name in ("llama.norm.weight",)}
        table = np.array(read["llama.embed_tokens.weight"])
        norm = np.array(read["llama.norm.weight"])
        last["lm_head.weight"] = TensorInfo(table.dtype, table.shape)
        arrays = {"llama.norm.weight": norm, "lm_head.weight": table}
        write_pdparams(tmp_path / f"model_state.tp{rank:02d}_pp01.pdparams", last, arrays.get)
        rewrite(path, **{"llama.norm.weight": None})
        path.rename(tmp_path / f"model_state.tp{rank:02d}_pp00.pdparams")
    model = open_model(tmp_path)
    merged = tmp_path / "merged"
    merged.mkdir()
    merge_model(model, merged)
    again = open_model(merged)
    assert "lm_head.weight" in again.files
    for key in tied.parameters:
        np.testing.assert_array_equal(again.dense(key), tied.dense(key))


def test_a_tied_model_has_no_stages(tied: Model, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="shares one table between its embedding and its head"):
        split_model(tied, tmp_path, tensor=1, pipeline=3)


def test_layers_that_stages_cannot_share(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="3 layers, which 2 pipeline stages cannot share"):
        split_model(model, tmp_path, tensor=1, pipeline=2)
