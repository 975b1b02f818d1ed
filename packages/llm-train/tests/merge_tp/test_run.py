"""`llm train merge-tp`: there and back, beside the shards, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_cli.main import run
from llm_cli.outputs import is_complete, verify_complete
from llm_convert.files.pdparams import open_pdparams, write_pdparams
from llm_convert.files.safetensors import open_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.model import open_model
from llm_convert.parallel.merging import MergedShards


@pytest.fixture
def whole(golden: Path, tmp_path: Path) -> Path:
    output = tmp_path / "whole"
    source = str(golden / "llama_v2_gqa")
    assert run(["convert", "--from-torch", source, "--output_path", str(output)]) == 0
    (output / "tokenizer.json").write_text("{}")
    return output


def merge_tp(*arguments: object) -> int:
    return run(["train", "merge-tp", *map(str, arguments)])


def test_split_and_merge(whole: Path, tmp_path: Path) -> None:
    shards, merged = tmp_path / "shards", tmp_path / "merged"
    assert merge_tp(whole, "--tensor_parallel_degree", 2, "--output_path", shards) == 0
    assert {path.name for path in shards.glob("*.pdparams")} == {
        "model_state.tp00.pdparams",
        "model_state.tp01.pdparams",
    }
    assert merge_tp(shards, "--output_path", merged) == 0
    assert (merged / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert (merged / "config.json").read_bytes() == (whole / "config.json").read_bytes()
    assert (merged / "tokenizer.json").is_file()
    assert is_complete(shards)
    assert is_complete(merged)
    for folder in (shards, merged):
        certificate = json.loads((folder / "certificate.json").read_text())
        assert (certificate["max_abs_diff"], certificate["top1_agreement"]) == (0.0, 1.0)


def test_without_output_path_it_is_written_beside_the_shards(whole: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    merge_tp(whole, "--tensor_parallel_degree", 4, "--output_path", shards)
    config = (shards / "config.json").read_bytes()
    assert merge_tp("--model_name_or_path", shards, "--max_shard_size", "200KB") == 0
    assert (shards / "model.safetensors.index.json").is_file()
    assert (shards / "config.json").read_bytes() == config
    assert verify_complete(shards) == []
    assert not list(shards.glob(".*"))
    names = open_safetensors(whole / "model.safetensors")
    found = {
        name: np.array(array)
        for path in shards.glob("model-*.safetensors")
        for name, array in open_safetensors(path).items()
    }
    assert found.keys() == names.keys()
    for name, array in names.items():
        np.testing.assert_array_equal(found[name], array)


def test_whole_weights_need_no_merging(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge_tp(whole, "--output_path", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "holds whole weights already (model.safetensors)" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("beside", [False, True])
def test_ranks_that_disagree_are_not_merged(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], beside: bool
) -> None:
    shards, merged = tmp_path / "shards", tmp_path / "merged"
    merge_tp(whole, "--tensor_parallel_degree", 4, "--output_path", shards)
    for rank in (1, 3):
        changed(shards / f"model_state.tp{rank:02d}.pdparams", **{"llama.norm.weight": 7 + rank})
    before = content(shards)
    capsys.readouterr()
    output = () if beside else ("--output_path", merged)
    assert merge_tp(shards, *output, "--verify", "false") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "several copies of llama.norm.weight" in error
    for rank in (1, 3):
        assert f"model_state.tp{rank:02d}.pdparams differs from model_state.tp00.pdparams" in error
    assert "tp02" not in error
    assert content(shards) == before
    assert not merged.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--tensor_parallel_degree", 2), "Name the folder for the shards with --output_path"),
        (("--tensor_parallel_degree", 0), "--tensor_parallel_degree is 0; choose 1 to 99"),
        (("--tensor_parallel_degree", 3, "--output_path", "o"), "cannot be shared evenly by 3"),
        (("--pipeline_parallel_degree", 2, "--output_path", "o"), "2 pipeline stages cannot share"),
    ],
)
def test_what_cannot_work(
    whole: Path,
    arguments: tuple[object, ...],
    text: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert merge_tp(whole, *arguments) == 2
    assert text in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "o").exists()


def test_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert merge_tp(tmp_path / "none") == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_size_that_is_none_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge_tp(tmp_path / "none", "--max_shard_size", "4 apples") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "--max_shard_size is '4 apples'" in error
    assert "does not exist" not in error


def test_hub_files_are_split_in_paddlenlps_names(golden: Path, tmp_path: Path) -> None:
    shutil.copytree(golden / "bloom", tmp_path / "bloom")
    output = tmp_path / "shards"
    assert merge_tp(tmp_path / "bloom", "--tensor_parallel_degree", 2, "--output_path", output) == 0
    assert "bloom.h.0.mlp.dense_h_to_4h.weight" in open_pdparams(
        output / "model_state.tp01.pdparams"
    )


def test_the_verification_can_be_left_out_and_be_a_gate(whole: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    split = (whole, "--tensor_parallel_degree", 2, "--output_path")
    assert merge_tp(*split, shards, "--verify", "false") == 0
    assert not (shards / "certificate.json").exists()
    assert merge_tp(*split, tmp_path / "checked", "--max_kl", "1e-9") == 0
    assert (tmp_path / "checked" / "certificate.json").is_file()
    assert merge_tp(shards, "--max_kl", "1e-9") == 0
    assert (shards / "certificate.json").is_file()
    assert merge_tp(*split, tmp_path / "none", "--verify", "false", "--max_kl", "0.1") == 2


# Kills itself, as `kill -9` does, in the middle of the weights.
KILLED = """
import os, signal, sys
from llm_cli.main import run
from llm_convert.files.array_writer import ArrayWriter
left, real = 6, ArrayWriter._put
def put(self, piece):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, piece)
ArrayWriter._put = put
run(sys.argv[1:])
"""


@pytest.mark.parametrize("beside", [False, True])
def test_killed_in_the_middle_it_can_be_run_again(
    whole: Path, tmp_path: Path, beside: bool
) -> None:
    shards = tmp_path / "shards"
    merge_tp(whole, "--tensor_parallel_degree", 2, "--output_path", shards, "--verify", "false")
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    output = shards if beside else tmp_path / "out"
    words = [str(shards), "--max_shard_size", "100KB", "--verify", "false"]
    words += [] if beside else ["--output_path", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "train", "merge-tp", *words],
        check=False,
        capture_output=True,
    )
    assert done.returncode == -9, done.stderr
    assert beside or not output.exists()
    assert all((shards / name).read_bytes() == data for name, data in before.items())
    assert merge_tp(*words) == 0
    found, wanted = open_model(output), open_model(whole)
    assert not isinstance(found.files, MergedShards)
    for key in wanted.parameters:
        np.testing.assert_array_equal(found.weight(key), wanted.weight(key))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def changed(path: Path, **change: float) -> None:
    """A shard with another first number in some of its tensors."""
    read = open_pdparams(path)
    tensors = {name: np.array(read[name]) for name in read}
    for name, value in change.items():
        tensors[name].flat[0] = value
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_pdparams(path, infos, tensors.__getitem__)


def test_a_result_that_is_refused_leaves_the_shards_as_they_were(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = tmp_path / "shards"
    merge_tp(whole, "--tensor_parallel_degree", 2, "--output_path", shards)
    for path in shards.glob("*.pdparams"):
        changed(path, **{"llama.norm.weight": float("nan")})
    before = content(shards)
    capsys.readouterr()
    assert merge_tp(shards, "--max_shard_size", "100KB") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "not finite" in error
    assert "Nothing was written" in error
    assert content(shards) == before


# Kills itself, as `kill -9` does, before the file whose name begins so is moved to the shards.
KILLED_MOVING = """
import os, signal, sys
from pathlib import Path
from llm_cli.main import run
rename = Path.rename
def step(path, to):
    if path.name.startswith(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, to)
Path.rename = step
run(sys.argv[2:])
"""


@pytest.mark.parametrize(
    "name", ["certificate.json", "model-00002-of-", "model.safetensors.index.json"]
)
def test_killed_between_two_moves_the_shards_are_still_what_they_were(
    whole: Path, tmp_path: Path, name: str
) -> None:
    shards = tmp_path / "shards"
    merge_tp(whole, "--tensor_parallel_degree", 2, "--output_path", shards, "--verify", "false")
    before = content(shards)
    words = ["train", "merge-tp", str(shards), "--max_shard_size", "100KB"]
    command = [sys.executable, "-c", KILLED_MOVING, name, *words]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert isinstance(open_model(shards).files, MergedShards)
    kept = {key: (shards / key).read_bytes() for key in before.keys() - {"COMPLETE"}}
    assert kept == {key: before[key] for key in kept}
    assert run(words) == 0
    found, wanted = open_model(shards), open_model(whole)
    assert not isinstance(found.files, MergedShards)
    for key in wanted.parameters:
        np.testing.assert_array_equal(found.weight(key), wanted.weight(key))
    assert verify_complete(shards) == []
    assert not list(shards.glob(".*"))
