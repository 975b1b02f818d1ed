"""`llm convert`: round trips of every family, bad input, memory, and a disk that fills up."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_cli.errors import UserError
from llm_cli.outputs import is_complete, written_file
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError, TensorMismatchError
from llm_convert.files import safetensors as writer
from llm_convert.files.folder import open_weights
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Layout
from llm_convert.model import open_model, save_model
from llm_convert.quantization import Quantization, Scheme
from llm_kernels.families import ParameterKey, detect, read_sizes
from llm_kernels.weights import Int4Weight

FAMILIES = (
    *("baichuan2_7b", "baichuan_13b", "baichuan_7b", "bloom", "chatglm", "chatglm2", "glm"),
    *("gpt2", "llama_v1", "llama_v2_gqa", "llama_v2_rope_linear", "llama_v3", "mistral"),
    *("mixtral", "opt", "qwen", "qwen2", "qwen2_moe", "qwen3"),
)
# Buffers beside the weights: recomputed by every implementation, so they are not carried along.
BUFFERS = re.compile(r"rotary_emb\.inv_freq|rotary_pos_emb\.inv_freq|h\.\d+\.attn\.bias")


def run(**options: Any) -> None:
    convert(ConvertOptions(**{name: str(value) for name, value in options.items()}))


def mixed_types(source: Path, folder: Path) -> Path:
    """A copy whose parameters are float32, float16 and bfloat16 by turns.

    ChatGLM-6B's head gets the embedding's values, as in the real files: PaddleNLP has no other.
    """
    import ml_dtypes

    files = open_weights(source)
    types = (np.float32, np.float16, ml_dtypes.bfloat16)
    arrays = {}
    for index, name in enumerate(sorted(files)):
        arrays[name] = files[name].astype(types[index % 3])
    config = json.loads((source / "config.json").read_text())
    spec = detect(config)
    layout = Layout.of(spec, read_sizes(spec, config), "paddlenlp")
    if not layout.sizes.tied and ParameterKey("head") not in layout.source:
        embed = next(name for name in arrays if name.endswith("word_embeddings.weight"))
        arrays["lm_head.weight"] = arrays[embed]
    folder.mkdir()
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(folder / "model.safetensors", infos, arrays.__getitem__)
    shutil.copy(source / "config.json", folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_torch_to_paddlenlp_to_torch_is_bit_exact(
    golden: Path, tmp_path: Path, family: str
) -> None:
    source = mixed_types(golden / family, tmp_path / "source")
    run(from_torch=source, output_path=tmp_path / "paddle")
    run(to_torch=tmp_path / "paddle", output_path=tmp_path / "torch")
    assert open_model(tmp_path / "paddle").naming == "paddlenlp"
    before, after = open_weights(source), open_weights(tmp_path / "torch")
    assert set(after) == {name for name in before if not BUFFERS.search(name)}
    for name in after:
        assert after.info(name) == before.info(name), name
        assert after[name].tobytes() == before[name].tobytes(), name
    original = json.loads((source / "config.json").read_text())
    back = json.loads((tmp_path / "torch" / "config.json").read_text())
    assert {**back, "torch_dtype": None} == {**original, "torch_dtype": None}


@pytest.mark.parametrize(
    ("family", "embedding"),
    [("gpt2", "wte.weight"), ("gemma", "model.embed_tokens.weight")],
)
def test_a_tied_head_that_is_stored_as_well_comes_back(
    golden: Path, tmp_path: Path, family: str, embedding: str
) -> None:
    files = open_weights(golden / family)
    arrays = {name: files[name] for name in files}
    arrays["lm_head.weight"] = arrays[embedding]
    source = shutil.copytree(golden / family, tmp_path / "source")
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(source / "model.safetensors", infos, arrays.__getitem__)
    run(from_torch=source, output_path=tmp_path / "paddle", verify="false")
    assert not any("lm_head" in name for name in open_weights(tmp_path / "paddle"))
    run(to_torch=tmp_path / "paddle", output_path=tmp_path / "torch", verify="false")
    after = open_weights(tmp_path / "torch")
    assert set(after) == {name for name in arrays if not BUFFERS.search(name)}
    np.testing.assert_array_equal(after["lm_head.weight"], arrays[embedding])


def test_what_the_command_writes_and_says(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(golden / "llama_v2_gqa", source)
    (source / "tokenizer.json").write_text("{}")
    run(from_torch=source, output_path=tmp_path / "out", max_shard_size="200KB", dtype="bfloat16")
    folder = tmp_path / "out"
    assert is_complete(folder)
    names = {file.name for file in folder.iterdir()}
    assert {"COMPLETE", "llm.json", "config.json", "tokenizer.json"} < names
    assert len([name for name in names if name.startswith("model-0000")]) == 2
    lineage = json.loads((folder / "llm.json").read_text())
    assert lineage["command"] == "convert"
    assert lineage["options"]["dtype"] == "bfloat16"
    out = capsys.readouterr().out
    assert "169,152 parameters, paddlenlp layout, bfloat16" in out
    assert "tokenizer.json" in out
    assert re.search(
        r"Peak memory of the conversion [\d.]+ MB; the largest tensor is\s65\.5 KB", out
    )


def test_what_was_written_is_compared_with_the_source(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def certificate(name: str, **more: str) -> dict[str, float]:
        run(from_torch=golden / "llama_v1", output_path=tmp_path / name, **more)
        content = json.loads((tmp_path / name / "certificate.json").read_text())
        assert isinstance(content, dict)
        return content

    same = certificate("same")
    assert (same["max_abs_diff"], same["mean_kl"], same["top1_agreement"]) == (0, 0, 1)
    assert same["tokens"] == min(256, open_model(golden / "llama_v1").sizes.max_positions or 256)
    assert "Certificate over" in capsys.readouterr().out
    rounded = certificate("rounded", dtype="bfloat16")
    assert 1e-7 < rounded["mean_kl"] < 0.01
    assert 1e-3 < rounded["max_abs_diff"] < 1
    run(from_torch=golden / "llama_v1", output_path=tmp_path / "not", verify="false")
    assert not (tmp_path / "not" / "certificate.json").exists()


def test_nothing_is_written_beyond_max_kl(golden: Path, tmp_path: Path) -> None:
    options = ConvertOptions(
        from_torch=str(golden / "llama_v1"),
        output_path=str(tmp_path / "x"),
        dtype="bfloat16",
        max_kl=1e-9,
    )
    with pytest.raises(ConvertError, match=r"more than --max_kl 1e-09\. Nothing was written"):
        convert(options)
    assert not list(tmp_path.iterdir())


def test_recasting_within_one_layout(golden: Path, tmp_path: Path) -> None:
    run(from_torch=golden / "opt", output_path=tmp_path / "x", to="hf", dtype="float16")
    model, source = open_model(tmp_path / "x"), open_model(golden / "opt")
    assert (model.naming, model.config["torch_dtype"]) == ("hf", "float16")
    assert set(open_weights(tmp_path / "x")) == set(open_weights(golden / "opt"))
    for key in source.parameters:
        np.testing.assert_array_equal(model.weight(key), source.dense(key, np.float16))


def test_the_option_must_name_the_layout_of_the_source(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"holds hf names, not paddlenlp ones.*--from_torch"):
        run(to_torch=golden / "opt", output_path=tmp_path / "x")
    run(from_torch=golden / "opt", output_path=tmp_path / "p")
    with pytest.raises(ConvertError, match="--to_torch"):
        run(from_torch=tmp_path / "p", output_path=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--max_shard_size", "4XB"), "--max_shard_size is '4XB'; it must be at least 1 byte"),
        (("--dtype", "fp4"), "--dtype is 'fp4'; choose one of float32, float16, bfloat16, float8"),
        (("--to", "torch"), "--to is 'torch'; choose one of paddlenlp, hf, gguf"),
    ],
)
def test_options_are_looked_at_before_the_model(
    tmp_path: Path, arguments: tuple[str, str], said: str
) -> None:
    """The source is not there, and nothing says so."""
    done = llm("--from-torch", tmp_path / "none", "--output_path", tmp_path / "x", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_full_output_is_told_before_the_model_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "file").touch()
    done = llm("--from-torch", tmp_path / "none", "--output_path", tmp_path / "x")
    assert done.returncode == 2
    assert "is not empty" in done.stderr


def test_a_head_that_paddlenlp_has_no_place_for(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(TensorMismatchError, match="no place for a head"):
        run(from_torch=golden / "chatglm", output_path=tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_types_without_arithmetic_pass_through(golden: Path, tmp_path: Path) -> None:
    """float8 and int8 tensors: untouched bits, there and back."""
    import ml_dtypes

    stored = open_weights(golden / "llama_v1")
    types = (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, np.int8)
    arrays = {name: np.array(stored[name]) for name in stored if not BUFFERS.search(name)}
    linears = [name for name in arrays if "_proj" in name]
    for index, name in enumerate(linears):
        arrays[name] = (8 * arrays[name]).astype(types[index % 3])
    source = tmp_path / "source"
    source.mkdir()
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(source / "model.safetensors", infos, arrays.__getitem__)
    shutil.copy(golden / "llama_v1" / "config.json", source)
    run(from_torch=source, output_path=tmp_path / "paddle")
    run(to_torch=tmp_path / "paddle", output_path=tmp_path / "torch")
    half, after = open_weights(tmp_path / "paddle"), open_weights(tmp_path / "torch")
    assert {half.info(name).dtype for name in half} == {*map(np.dtype, types), np.dtype(np.float32)}
    for name, array in arrays.items():
        assert after.info(name) == infos[name]
        assert after[name].tobytes() == array.tobytes(), name


@pytest.fixture
def quantized(golden: Path, tmp_path: Path) -> Path:
    source, folder = open_model(golden / "llama_v2_gqa"), tmp_path / "quantized"
    folder.mkdir()
    quantization = Quantization.uniform(source.spec, source.sizes, Scheme(4, None))
    save_model(
        folder,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=lambda key: (
            Int4Weight.from_dense(source.dense(key))
            if key in quantization.schemes
            else source.weight(key)
        ),
        naming="hf",
        quantization=quantization,
    )
    return folder


def test_quantized_weights_stay_packed_without_a_dtype(quantized: Path, tmp_path: Path) -> None:
    run(from_torch=quantized, output_path=tmp_path / "x", to="hf")
    before, after = open_weights(quantized), open_weights(tmp_path / "x")
    assert set(before) == set(after)
    for name in before:
        assert before[name].tobytes() == after[name].tobytes()


def test_quantized_weights_are_dequantized_to_a_dtype(quantized: Path, tmp_path: Path) -> None:
    for option in ("from_torch", "to_torch"):
        with pytest.raises(ConvertError, match=r"Hugging Face's layout already.*add --dtype"):
            run(**{option: quantized}, output_path=tmp_path / "x")
    run(from_torch=quantized, output_path=tmp_path / "x", dtype="float32")
    model, source = open_model(tmp_path / "x"), open_model(quantized)
    assert model.quantization is None
    for key in source.parameters:
        np.testing.assert_array_equal(model.dense(key), source.dense(key))


def test_an_output_that_is_there_is_kept(golden: Path, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    run(from_torch=golden / "llama_v1", output_path=folder)
    before = (folder / "COMPLETE").read_bytes()
    with pytest.raises(UserError, match="not empty"):
        run(from_torch=golden / "llama_v2_gqa", output_path=folder)
    assert (folder / "COMPLETE").read_bytes() == before
    convert(
        ConvertOptions(
            from_torch=str(golden / "llama_v2_gqa"), output_path=str(folder), overwrite=True
        )
    )
    assert (folder / "COMPLETE").read_bytes() != before


def test_a_full_disk_leaves_what_was_there(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x"
    run(from_torch=golden / "llama_v1", output_path=folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    class Full:
        def __init__(self, stream: Any) -> None:
            self.stream, self.room = stream, 200_000

        def write(self, data: Any) -> None:
            self.room -= memoryview(data).nbytes
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.stream.write(data)

    @contextmanager
    def on_a_full_disk(path: Path, *, streamed: bool) -> Iterator[Any]:
        with written_file(path, streamed=streamed) as stream:
            yield Full(stream)

    monkeypatch.setattr(writer, "written_file", on_a_full_disk)
    options = ConvertOptions(
        from_torch=str(golden / "llama_v2_gqa"), output_path=str(folder), overwrite=True
    )
    with pytest.raises(OSError, match="No space left"):
        convert(options)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


def llm(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = "from llm_cli.main import main; main()"
    command = [sys.executable, "-c", program, "convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing folder", "does not exist"),
        ("truncated", "truncated"),
        ("config without a field", "num_attention_heads"),
        ("unknown family", "MysteryForCausalLM is not supported"),
    ],
)
def test_bad_input_ends_in_a_sentence(golden: Path, tmp_path: Path, damage: str, said: str) -> None:
    source = tmp_path / "source"
    if damage != "missing folder":
        shutil.copytree(golden / "llama_v1", source)
        config = json.loads((source / "config.json").read_text())
        if damage == "truncated":
            path = source / "model.safetensors"
            path.write_bytes(path.read_bytes()[:-100])
        elif damage == "config without a field":
            del config["num_attention_heads"]
        else:
            config["architectures"] = ["MysteryForCausalLM"]
        (source / "config.json").write_text(json.dumps(config))
    done = llm("--from-torch", source, "--output_path", tmp_path / "out")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_memory_follows_the_largest_tensor_not_the_model(golden: Path, tmp_path: Path) -> None:
    # Nine layers of 4 MB tensors, 273 MB in all, in a process that starts at about 50 MB.
    config = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
    config |= {"hidden_size": 1024, "intermediate_size": 1024, "num_hidden_layers": 9}
    config |= {"num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 1024}
    spec = detect(config)
    layout = Layout.of(spec, read_sizes(spec, config), "hf")
    infos = {
        name: TensorInfo(np.dtype(np.float32), tensor.shape)
        for name, tensor in layout.tensors.items()
    }
    source = tmp_path / "source"
    source.mkdir()
    write_safetensors(
        source / "model.safetensors", infos, lambda name: np.ones(infos[name].shape, np.float32)
    )
    (source / "config.json").write_text(json.dumps(config))
    total = sum(prod(info.shape) * 4 for info in infos.values())
    done = llm("--from-torch", source, "--output_path", tmp_path / "out", "--verify", "false")
    peak = re.search(r"Peak memory of the conversion ([\d.]+) MB", done.stdout)
    assert peak is not None, done.stderr
    assert total > 250e6
    assert float(peak[1]) < 110
