"""`llm peft merge`: the merged model equals base and adapter, and wrong inputs end with code 2."""

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
from llm_convert.files.folder import open_weights
from llm_convert.lora import LoraAdapter, read_lora, sketch, write_lora, write_sketch
from llm_convert.model import Model, open_model, save_model
from llm_convert.quantization import Quantization, Scheme
from llm_convert.saving import Naming
from llm_kernels.families import ParameterKey
from llm_kernels.reference_decoder import forward
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_peft.lora.targets import target_keys
from llm_peft.merge.options import MergeOptions
from llm_peft.merge.run import merge


@pytest.fixture
def adapter_folder(base: Model, tmp_path: Path, random_pairs: Callable[..., dict]) -> Path:
    """A PaddleNLP adapter of every linear, with the sketch of its base."""
    keys = target_keys(base.spec, base.sizes, None)
    folder = tmp_path / "adapter"
    folder.mkdir()
    adapter = LoraAdapter(4, 6.0, 1.5, random_pairs(base, keys, 4))
    write_lora(
        folder,
        adapter,
        spec=base.spec,
        sizes=base.sizes,
        base_model_name_or_path=str(base.path),
    )
    write_sketch(folder, sketch(base, keys))
    return folder


def options(base: Path | None, adapter: Path, output: Path, **more: Any) -> MergeOptions:
    return MergeOptions(
        model_name_or_path=None if base is None else str(base),
        lora_path=str(adapter),
        output_path=str(output),
        **more,
    )


def command(base: Path, adapter: Path, output: Path, *more: str) -> int:
    arguments = ["peft", "merge", "--model_name_or_path", str(base), "--lora_path", str(adapter)]
    return run([*arguments, "--output_path", str(output), *more])


def logits_of(model: Model, ids: np.ndarray) -> np.ndarray:
    return forward(model.spec, model.sizes, model.weight, ids)


def test_the_merged_model_is_base_plus_adapter(
    base: Model, base_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "merged"
    merge(options(base_folder, adapter_folder, output))
    assert is_complete(output)
    assert {"tokenizer.json", "certificate.json", "llm.json"} <= {p.name for p in output.iterdir()}
    found = open_model(output)
    assert found.naming == "hf"
    adapter = read_lora(adapter_folder, base)
    for key in base.parameters:
        expected = base.dense(key).astype(np.float64)
        if key in adapter.pairs:
            a, b = (matrix.astype(np.float64) for matrix in adapter.pairs[key])
            expected = expected + 1.5 * (a @ b).T
        np.testing.assert_allclose(found.dense(key), expected, rtol=0, atol=2e-6)
    certificate = json.loads((output / "certificate.json").read_text())
    assert certificate["max_abs_diff"] < 1e-4 < certificate["adapter_effect"]
    assert certificate["top1_agreement"] == 1.0
    lineage = json.loads((output / "llm.json").read_text())
    assert set(lineage["inputs"]) == {"model_name_or_path", "lora_path"}


@pytest.mark.parametrize("to", [None, "hf", "paddlenlp"])
@pytest.mark.parametrize("layout", ["hf", "paddlenlp"])
def test_the_layout_is_that_of_the_base_or_the_one_asked_for(
    base: Model, adapter_folder: Path, tmp_path: Path, layout: Naming, to: str | None
) -> None:
    """The same sums, under the names and in the order of either tool."""
    folder = tmp_path / "base"
    folder.mkdir()
    save_model(
        folder,
        config=base.config,
        spec=base.spec,
        sizes=base.sizes,
        parameters=base.weight,
        naming=layout,
    )
    merge(options(folder, adapter_folder, tmp_path / "merged", to=to))
    found = open_model(tmp_path / "merged")
    assert found.naming == (to or layout)
    adapter = read_lora(adapter_folder, base)
    for key in base.parameters:
        expected = base.dense(key).astype(np.float64)
        if key in adapter.pairs:
            a, b = (matrix.astype(np.float64) for matrix in adapter.pairs[key])
            expected = expected + 1.5 * (a @ b).T
        np.testing.assert_allclose(found.weight(key), expected, rtol=0, atol=2e-6)
    stored = open_weights(tmp_path / "merged")
    name, turned = (
        ("llama.layers.0.mlp.up_proj.weight", True)
        if found.naming == "paddlenlp"
        else ("model.layers.0.mlp.up_proj.weight", False)
    )
    shape = base.parameters[ParameterKey("up", 0)]
    assert stored.info(name).shape == (shape[::-1] if turned else shape)


@pytest.mark.parametrize("family", ["baichuan_7b", "gpt2", "qwen2", "falcon_7b", "opt"])
def test_names_and_fused_tensors_of_the_hub_come_back(
    golden: Path, tmp_path: Path, family: str, random_pairs: Callable[..., dict]
) -> None:
    """With and without their prefix, with a repeated head: what the base's files hold."""
    source = open_model(golden / family)
    adapter = LoraAdapter(4, 6.0, 1.5, random_pairs(source, [ParameterKey("out", 1)], 4))
    (tmp_path / "adapter").mkdir()
    write_lora(tmp_path / "adapter", adapter, spec=source.spec, sizes=source.sizes)
    merge(options(golden / family, tmp_path / "adapter", tmp_path / "merged"))
    before, after = open_weights(golden / family), open_weights(tmp_path / "merged")
    buffers = set(before) - set(after)
    assert not set(after) - set(before)
    assert all("rotary" in name or name.endswith((".bias", "masked_bias")) for name in buffers)
    changed = [name for name in after if not np.array_equal(before[name], after[name])]
    assert len(changed) == 1


@pytest.mark.parametrize("family", ["llama_v2_gqa", "gpt2"])
def test_pefts_adapter_gives_pefts_merged_logits(
    golden: Path, tmp_path: Path, golden_prompts: Callable[[Path], list], family: str
) -> None:
    adapter = golden / f"lora_{family}"
    merge(options(golden / family, adapter, tmp_path / "merged"))
    merged = open_model(tmp_path / "merged")
    for ids, expected in golden_prompts(adapter):
        np.testing.assert_allclose(logits_of(merged, ids), expected, atol=1e-4)


def test_the_base_may_come_from_the_adapter(
    base: Model, adapter_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge(options(None, adapter_folder, tmp_path / "merged"))
    key = next(iter(base.parameters))
    merged = open_model(tmp_path / "merged")
    np.testing.assert_array_equal(merged.dense(key), base.dense(key))
    assert "linears merged (rank 4, scaling 1.5)" in capsys.readouterr().out


def test_another_type_and_small_shards(
    base: Model, base_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "merged"
    more = {"dtype": "bfloat16", "max_shard_size": "100KB"}
    merge(options(base_folder, adapter_folder, output, **more))
    assert len(list(output.glob("model-*.safetensors"))) > 2
    found = open_model(output)
    assert {found.dtype(key).name for key in found.parameters} == {"bfloat16"}
    certificate = json.loads((output / "certificate.json").read_text())
    assert 0 < certificate["mean_kl"] < 0.01


def test_a_wider_type_keeps_the_whole_sum(
    base: Model, base_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    save_model(
        half,
        config=base.config,
        spec=base.spec,
        sizes=base.sizes,
        parameters=base.weight,
        naming="paddlenlp",
        dtype="bfloat16",
    )
    merge(options(half, adapter_folder, tmp_path / "merged", dtype="float32"))
    start, found = open_model(half), open_model(tmp_path / "merged")
    adapter = read_lora(adapter_folder, start)
    for key in adapter.pairs:
        expected = start.dense(key) + adapter.delta(key)
        np.testing.assert_allclose(found.dense(key), expected, rtol=0, atol=2e-6)


def test_the_comparison_can_be_left_out(
    base_folder: Path, adapter_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(base_folder, adapter_folder, tmp_path / "merged", "--verify", "false") == 0
    assert not (tmp_path / "merged" / "certificate.json").exists()
    assert "--verify true does that" in capsys.readouterr().out


def test_a_merge_that_is_too_far_is_not_written(
    base_folder: Path, adapter_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "merged"
    code = command(
        base_folder, adapter_folder, output, "--dtype", "bfloat16", "--max_kl", "0.000000001"
    )
    assert code == 2
    assert "more than --max_kl 1e-09" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


def test_without_a_check_there_is_no_certificate(
    base_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    merge(options(base_folder, adapter_folder, tmp_path / "merged", verify_tokens=0))
    assert not (tmp_path / "merged" / "certificate.json").exists()
    assert is_complete(tmp_path / "merged")


def test_another_base_of_the_same_shapes_ends_with_code_2(
    golden: Path, base_folder: Path, adapter_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    other = shutil.copytree(base_folder, tmp_path / "other")
    raw = bytearray((other / "model.safetensors").read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    weights = np.frombuffer(raw, np.float32, offset=start)
    weights[:] = np.random.default_rng(9).permutation(weights)
    (other / "model.safetensors").write_bytes(raw)
    assert command(other, adapter_folder, tmp_path / "merged") == 2
    assert "Name its own base" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_a_base_that_was_trained_on_is_another_one_unless_it_is_allowed(
    base_folder: Path,
    adapter_folder: Path,
    tmp_path: Path,
    capsys: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A thousandth more on every weight: no more than a few steps of training."""
    other = shutil.copytree(base_folder, tmp_path / "other")
    raw = bytearray((other / "model.safetensors").read_bytes())
    start = 8 + int.from_bytes(raw[:8], "little")
    np.frombuffer(raw, np.float32, offset=start)[:] *= 1.001
    (other / "model.safetensors").write_bytes(raw)
    assert command(other, adapter_folder, tmp_path / "merged") == 2
    assert "relative distance 0.001, which must be 0" in " ".join(capsys.readouterr().err.split())
    assert command(other, adapter_folder, tmp_path / "merged", "--allow_other_base") == 0
    assert "is another base" in caplog.text
    assert is_complete(tmp_path / "merged")


@pytest.mark.parametrize(
    ("family", "part"),
    [("llama_v1", "Name the base model"), ("bloom", "match no module of the model")],
)
def test_a_base_of_other_shapes_ends_with_code_2(
    golden: Path, adapter_folder: Path, tmp_path: Path, family: str, part: str, capsys: Any
) -> None:
    assert command(golden / family, adapter_folder, tmp_path / "merged") == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_a_folder_that_is_no_adapter_is_named(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(base_folder, tmp_path / "nowhere", tmp_path / "merged") == 2
    assert "nowhere is no folder" in " ".join(capsys.readouterr().err.split())
    assert command(base_folder, base_folder, tmp_path / "merged") == 2
    assert "holds no LoRA adapter" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("missing", ["lora_config.json", "lora_model_state.pdparams", None])
def test_missing_adapter_files_end_with_code_2(
    base_folder: Path, adapter_folder: Path, tmp_path: Path, missing: str | None, capsys: Any
) -> None:
    if missing is None:
        shutil.rmtree(adapter_folder)
    else:
        (adapter_folder / missing).unlink()
    assert command(base_folder, adapter_folder, tmp_path / "merged") == 2
    assert str(adapter_folder) in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()


def test_an_output_that_exists_is_kept(
    base_folder: Path, adapter_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    output = tmp_path / "merged"
    output.mkdir()
    (output / "precious.txt").write_text("mine")
    assert command(base_folder, adapter_folder, output) == 2
    assert "is not empty" in capsys.readouterr().err
    assert (output / "precious.txt").read_text() == "mine"


def test_merging_needs_no_paddle(base_folder: Path, adapter_folder: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from llm_cli.main import run\n"
        f"code = run(['peft', 'merge', '--lora_path', {str(adapter_folder)!r},"
        f" '--output_path', {str(tmp_path / 'merged')!r}])\n"
        "print(code, sorted({'paddle', 'paddlenlp', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("bits", [4, 8])
def test_a_quantized_base_merges_as_it_was_seen_in_training(
    bits: int,
    base: Model,
    adapter_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packing = {4: Int4Weight, 8: Int8Weight}[bits]
    quantization = Quantization.uniform(base.spec, base.sizes, Scheme(bits, None))
    packed = tmp_path / "packed"
    packed.mkdir()
    save_model(
        packed,
        config=base.config,
        spec=base.spec,
        sizes=base.sizes,
        parameters=lambda key: (
            packing.from_dense(base.dense(key)) if key in quantization.schemes else base.dense(key)
        ),
        naming="hf",
        quantization=quantization,
    )
    merge(options(packed, adapter_folder, tmp_path / "out"))
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(quantization.schemes)} quantized linears of the base are written" in said
    quantized, result = open_model(packed), open_model(tmp_path / "out")
    assert result.quantization is None
    adapter = read_lora(adapter_folder, quantized)
    for key in base.parameters:
        expected = quantized.dense(key)
        if key in adapter.pairs:
            expected = expected + adapter.delta(key)
        np.testing.assert_allclose(result.dense(key), expected, rtol=1e-6, atol=1e-6)
