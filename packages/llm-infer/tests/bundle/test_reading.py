from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_cli.main import run
from llm_infer.bundle.layout import ARRAYS, DESCRIPTION
from llm_infer.bundle.reading import open_bundle
from llm_infer.engine import SamplingParams
from llm_infer.errors import InferError
from llm_infer.load import Backend, CacheSettings, Precision, load_engine

PROMPT = [7, 3, 99, 41, 5]
FAMILIES = ("llama_v2_gqa", "gpt2", "baichuan2_7b", "qwen2_moe", "bloom", "gemma2")


def export(model: Path, output: Path, *options: str) -> Path:
    arguments = ["--model_name_or_path", str(model), "--output_path", str(output), *options]
    assert run(["infer", "export", *arguments]) == 0
    return output


STATIC = Backend(mode="static")


def tokens(
    folder: Path, backend: Backend | None = None, precision: Precision | None = None
) -> list[int]:
    cache = CacheSettings(num_blocks=4)
    engine = load_engine(folder, precision=precision, cache=cache, backend=backend)
    stream = engine.submit(PROMPT, SamplingParams(max_new_tokens=12, ignore_eos=True))
    try:
        return [event.token_id for event in stream if event.token_id is not None]
    finally:
        engine.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_answers_as_the_model_itself(golden: Path, tmp_path: Path, family: str) -> None:
    bundle = export(golden / family, tmp_path / "bundle")
    assert tokens(bundle, STATIC) == tokens(golden / family)


@pytest.mark.parametrize("quant_type", ["weight_only_int4", "weight_only_int8", "a8w8"])
@pytest.mark.parametrize("family", ["llama_v2_gqa", "gpt2"])
def test_a_quantized_bundle_too(golden: Path, tmp_path: Path, family: str, quant_type: str) -> None:
    bundle = export(golden / family, tmp_path / "bundle", "--quant_type", quant_type)
    precision = Precision(quant_type=quant_type, act_quant_type="int8_block", quantize_head=True)
    expected = tokens(golden / family, precision=precision)
    assert tokens(bundle, STATIC) == expected


def test_the_command_runs_a_bundle(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = export(tiny_model, tmp_path / "bundle")
    capsys.readouterr()
    common = ["--prompt", "def open(", "--max_length", "24"]
    assert run(["infer", "--model_name_or_path", str(tiny_model), *common]) == 0
    expected = capsys.readouterr().out
    assert expected
    assert run(["infer", "--model_name_or_path", str(bundle), "--mode", "static", *common]) == 0
    assert capsys.readouterr().out == expected


def test_a_folder_without_a_bundle_says_how_to_write_one(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model_name_or_path", str(tiny_model), "--mode", "static", "--prompt", "x"]
    assert run(["infer", *arguments]) == 2
    assert "holds no packed bundle (bundle.json). Write one with `llm infer" in (
        capsys.readouterr().err
    )


def test_a_bundle_without_the_mode_says_how_to_run_it(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = export(tiny_model, tmp_path / "bundle")
    assert run(["infer", "--model_name_or_path", str(bundle), "--prompt", "x"]) == 2
    assert "(bundle.json); run it with --mode static." in capsys.readouterr().err


def test_a_bundle_is_not_changed_afterwards(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = export(tiny_model, tmp_path / "bundle")
    arguments = ["--model_name_or_path", str(bundle), "--mode", "static", "--prompt", "x"]
    assert run(["infer", *arguments, "--quant_type", "weight_only_int8"]) == 2
    assert "--quant_type cannot change a packed bundle" in capsys.readouterr().err


Damage = Callable[[Path], None]


def shorten(folder: Path) -> None:
    with (folder / ARRAYS).open("r+b") as file:
        file.truncate(100)


def rewrite(change: Callable[[dict], None]) -> Damage:
    def damage(folder: Path) -> None:
        described = json.loads((folder / DESCRIPTION).read_text())
        change(described)
        (folder / DESCRIPTION).write_text(json.dumps(described))

    return damage


def first_packed(described: dict) -> dict:
    return next(entry for entry in described["weights"].values() if "header" in entry)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shorten, "has 100 bytes, where bundle.json says"),
        (lambda folder: (folder / ARRAYS).unlink(), "has 0 bytes, where bundle.json says"),
        (lambda folder: (folder / DESCRIPTION).write_text("{"), "is no description of a bundle"),
        (lambda folder: (folder / DESCRIPTION).write_text("[]"), "is no description of a bundle"),
        (rewrite(lambda d: d.update(version=2)), "no bundle of version 1"),
        (rewrite(lambda d: d.update(isa="avx1024")), "was packed for avx1024"),
        (rewrite(lambda d: d["weights"].pop("embed.weight")), "embed.weight cannot be used"),
        (rewrite(lambda d: d["weights"]["embed.weight"].update(at=-64)), "are not in bundle.bin"),
        (rewrite(lambda d: d["weights"]["embed.weight"].update(at=1 << 60)), "are not in bundle"),
        (rewrite(lambda d: d["weights"]["embed.weight"].update(dtype="object")), "cannot be used"),
        (rewrite(lambda d: first_packed(d).update(codes=[0, 64])), "codes has shape"),
        (rewrite(lambda d: first_packed(d)["header"].__setitem__(0, 77)), "what no weight has"),
        (rewrite(lambda d: first_packed(d).update(rounding=["x", 0])), "kind of inputs"),
    ],
)
def test_a_damaged_bundle_is_refused(
    tiny_model: Path, tmp_path: Path, damage: Damage, message: str
) -> None:
    whole = export(tiny_model, tmp_path / "bundle")
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    damage(folder)
    with pytest.raises((InferError, ValueError), match=message):
        load_engine(open_bundle(folder), cache=CacheSettings(num_blocks=2))
