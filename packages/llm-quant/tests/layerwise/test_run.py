"""`llm quant gptq` from the command line to a folder that opens again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_cli.main import run
from llm_cli.outputs import is_complete
from llm_convert.model import Model, open_model
from llm_data.indexed import IndexedWriter
from llm_kernels import reference_decoder
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.core.linear import quantize_linear
from llm_quant.layerwise import passes

FITS = ["--group_size", "32"]
GOLDEN = ["--group_size", "32", "--skip_list_names", "down", "--max_length", "24"]


@pytest.fixture
def gptq(tmp_path: Path, corpus: Path) -> Callable[..., int]:
    """Run the command on `model` with further arguments; output in tmp_path / "out"."""

    def call(model: Path, *arguments: str, data: tuple[str, ...] | None = None) -> int:
        words = ["quant", "gptq", "--model_name_or_path", str(model)]
        words += ["--output_path", str(tmp_path / "out"), "--gptq_step", "2", "--batch_size", "4"]
        return run([*words, *(data or ("--input_dir", str(corpus))), *arguments])

    return call


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The dequantized weights that GPTQ chose, in order, as the command computes them."""
    seen: list[np.ndarray] = []

    def spy(*arguments: Any) -> Any:
        found, outcome = quantize_linear(*arguments)
        seen.append(found.dequantize())
        return found, outcome

    monkeypatch.setattr(passes, "quantize_linear", spy)
    return seen


def logits(model: Model, ids: np.ndarray) -> np.ndarray:
    return reference_decoder.forward(model.spec, model.sizes, model.dense, ids)


def divergence(first: np.ndarray, second: np.ndarray) -> float:
    """Mean KL(first || second) in nats a token, of logits [T, V]."""
    logs = [rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)) for rows in (first, second)]
    return float((np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=1).mean())


def test_golden_llama_in_8_bits_answers_as_before(
    golden: Path, tmp_path: Path, gptq: Callable[..., int]
) -> None:
    assert gptq(golden / "llama_v2_gqa", *GOLDEN, "--bits", "8") == 0
    ids = np.random.default_rng(0).integers(0, 96, 40)
    before = logits(open_model(golden / "llama_v2_gqa"), ids)
    after = logits(open_model(tmp_path / "out"), ids)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.999
    assert divergence(before, after) < 0.002


def test_golden_llama(
    golden: Path, tmp_path: Path, gptq: Callable[..., int], chosen: list[np.ndarray]
) -> None:
    # Random tokens below 96 are within the golden model's 256.
    assert gptq(golden / "llama_v2_gqa", *GOLDEN) == 0
    out = tmp_path / "out"
    assert is_complete(out)
    assert not (tmp_path / "out.work").exists()
    found, source = open_model(out), open_model(golden / "llama_v2_gqa")
    assert found.naming == "hf"
    report = json.loads((out / "quant_report.json").read_text())
    assert report["summary"]["linears"] == report["summary"]["gptq"] == len(chosen) == 18
    assert report["summary"]["mean_error"] < 0.9 * report["summary"]["mean_rtn_error"]
    for name, weight in zip(report["linears"], chosen, strict=True):
        packed = found.weight(ParameterKey.parse(name))
        assert isinstance(packed, Int4Weight)
        np.testing.assert_array_equal(packed.dequantize(), weight)
    for key in (ParameterKey("down", 1), ParameterKey("embed"), ParameterKey("q_norm", 0)):
        if key in source.parameters:
            np.testing.assert_array_equal(found.dense(key), source.dense(key))
    ids = np.random.default_rng(0).integers(0, 96, 40)
    weights = {ParameterKey.parse(n): w for n, w in zip(report["linears"], chosen, strict=True)}
    expected = reference_decoder.forward(
        source.spec,
        source.sizes,
        lambda key: weights[key] if key in weights else source.dense(key),
        ids,
    )
    np.testing.assert_allclose(logits(found, ids), expected, rtol=1e-4, atol=1e-4)
    assert divergence(logits(source, ids), expected) < 0.2
    lineage = json.loads((out / "llm.json").read_text())
    assert lineage["command"] == "quant gptq"
    assert lineage["options"]["group_size"] == 32


@pytest.mark.parametrize("family", ["chatglm", "glm"])
def test_families_of_two_positions(
    golden: Path, tmp_path: Path, gptq: Callable[..., int], family: str
) -> None:
    more = ("--group_size", "8", "--max_length", "24", "--bits", "8")
    assert gptq(golden / family, *more, "--max_kl", "0.01") == 0
    report = json.loads((tmp_path / "out" / "quant_report.json").read_text())
    assert report["summary"]["rtn"] == {}
    assert not (tmp_path / "out.work").exists()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["--sym", "false", "--mse", "false"], Int4Weight),
        (["--actorder", "false", "--block", "16"], Int4Weight),
        (["--bits", "8", "--group_size", "-1"], Int8Weight),
    ],
)
def test_other_grids_and_orders(
    llama: Path,
    tmp_path: Path,
    gptq: Callable[..., int],
    chosen: list[np.ndarray],
    arguments: list[str],
    kind: type,
) -> None:
    assert gptq(llama, "--group_size", "32", "--max_length", "24", *arguments) == 0
    found = open_model(tmp_path / "out")
    report = json.loads((tmp_path / "out" / "quant_report.json").read_text())
    assert report["summary"]["rtn"] == {}
    for name, weight in zip(report["linears"], chosen, strict=True):
        packed = found.weight(ParameterKey.parse(name))
        assert isinstance(packed, kind)
        np.testing.assert_array_equal(packed.dequantize(), weight)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (
        llama / "tokenizer.json"
    ).read_bytes()
    assert (tmp_path / "out" / "generation_config.json").is_file()


def test_scales_are_exact_in_the_stored_element_type(
    llama_bfloat16: Path, tmp_path: Path, gptq: Callable[..., int], chosen: list[np.ndarray]
) -> None:
    assert gptq(llama_bfloat16, "--group_size", "32", "--max_length", "24") == 0
    found = open_model(tmp_path / "out")
    assert found.config["torch_dtype"] == "bfloat16"
    report = json.loads((tmp_path / "out" / "quant_report.json").read_text())
    for name, weight in zip(report["linears"], chosen, strict=True):
        np.testing.assert_array_equal(found.dense(ParameterKey.parse(name)), weight)


def test_calibration_with_dialogues(
    llama: Path, dialogues: Path, tmp_path: Path, gptq: Callable[..., int]
) -> None:
    data = ("--dataset_name_or_path", str(dialogues))
    assert gptq(llama, "--group_size", "32", data=data) == 0
    report = json.loads((tmp_path / "out" / "quant_report.json").read_text())
    # 8 samples are drawn from train.json, for there is no quant.json.
    assert report["calibration"]["samples"] == 8
    counted = {record["tokens"] for record in report["linears"].values()}
    assert counted == {report["calibration"]["tokens"]}


def test_a_killed_run_continues_and_ends_the_same(
    llama: Path, tmp_path: Path, gptq: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--group_size", "32", "--max_length", "24")
    assert gptq(llama, *arguments) == 0
    whole = (tmp_path / "out" / "model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "out")
    calls: list[int] = []

    def stop_in_second_layer(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return quantize_linear(*given)

    monkeypatch.setattr(passes, "quantize_linear", stop_in_second_layer)
    assert gptq(llama, *arguments) == 130
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.work").is_dir()
    assert gptq(llama, *arguments) == 0
    # 7 linears of the first layer and 2 of the second before; 7 of the second layer after.
    assert len(calls) == 9 + 7
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == whole


def test_unfinished_work_is_not_dropped_for_another_option(
    llama: Path,
    tmp_path: Path,
    gptq: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(passes, "quantize_linear", stop)
        assert gptq(llama, *FITS, "--max_length", "24") == 130
    states = (tmp_path / "out.work" / "states-0.f32").read_bytes()
    assert gptq(llama, *FITS, "--max_length", "24", "--percdamp", "0.02") == 2
    assert "differs in: --percdamp." in capsys.readouterr().err
    assert (tmp_path / "out.work" / "states-0.f32").read_bytes() == states
    again = ("--percdamp", "0.02", "--overwrite_output_dir")
    assert gptq(llama, *FITS, "--max_length", "24", *again) == 0
    assert is_complete(tmp_path / "out")


def test_a_full_disk_at_the_end_keeps_the_finished_layers(
    llama: Path, tmp_path: Path, gptq: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_quant import output

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "out"))

    arguments = ("--group_size", "32", "--max_length", "24")
    with monkeypatch.context() as patched:
        patched.setattr(output, "save_model", full)
        assert gptq(llama, *arguments) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.work"]
    monkeypatch.setattr(passes, "quantize_linear", None)
    assert gptq(llama, *arguments) == 0
    assert is_complete(tmp_path / "out")


def test_group_size_that_does_not_fit(
    golden: Path, gptq: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gptq(golden / "llama_v2_gqa", "--group_size", "32") == 2
    told = capsys.readouterr().err
    assert "layers.0.down" in told
    assert "172" in told


def write_corpus(folder: Path, vocab: int, documents: int) -> Path:
    rng = np.random.default_rng(1)
    with IndexedWriter(folder / "tokens", np.uint16) as writer:
        for _ in range(documents):
            writer.add_document(rng.integers(0, vocab, 60))
    return folder


def test_inputs_that_do_not_fit_end_with_2_and_write_nothing(
    golden: Path,
    llama: Path,
    tmp_path: Path,
    gptq: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told(model: Path, *arguments: str, data: tuple[str, ...] | None = None) -> str:
        assert gptq(model, *arguments, data=data) == 2
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "out.work").exists()
        return capsys.readouterr().err

    assert "does not exist" in told(tmp_path / "nowhere")
    assert "Conv1D" in told(golden / "gpt2", "--group_size", "8")
    assert "--group_size 128 does not divide" in told(golden / "baichuan_13b")
    few = write_corpus(tmp_path / "few", vocab=96, documents=1)
    data = ("--input_dir", str(few))
    assert "one sample of max_seq_length 128 needs 129" in told(llama, *FITS, data=data)
    large = write_corpus(tmp_path / "large", vocab=200, documents=60)
    data = ("--input_dir", str(large))
    assert "the model knows 96" in told(llama, *FITS, data=data)
    assert "none" in told(llama, *FITS, data=("--input_dir", str(tmp_path / "none")))
    lines = tmp_path / "lines"
    lines.mkdir()
    data = ("--dataset_name_or_path", str(lines))
    assert "train.json" in told(llama, *FITS, data=data)


def test_samples_are_no_longer_than_the_model(
    llama: Path, tmp_path: Path, gptq: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert gptq(llama, *FITS, "--max_length", "500") == 0
    assert "--max_length 500" in caplog.text
    report = json.loads((tmp_path / "out" / "quant_report.json").read_text())
    assert report["calibration"] == {"samples": 8, "tokens": 8 * 128}


def test_an_output_that_is_there_is_refused_before_the_work(
    llama: Path, tmp_path: Path, gptq: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert gptq(llama, "--group_size", "32", "--max_length", "24") == 2
    assert "not empty" in capsys.readouterr().err
    own = ("--output_path", str(llama), "--overwrite_output_dir")
    assert gptq(llama, "--group_size", "32", "--max_length", "24", *own) == 2
    assert "would be lost" in capsys.readouterr().err
    assert not (tmp_path / "out.work").exists()


def test_a_quantized_model_is_not_quantized_again(
    llama: Path, tmp_path: Path, gptq: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gptq(llama, "--group_size", "32", "--max_length", "24") == 0
    (tmp_path / "out").rename(tmp_path / "int4")
    assert gptq(tmp_path / "int4", "--group_size", "32", "--max_length", "24") == 2
    assert "quantized already" in capsys.readouterr().err
