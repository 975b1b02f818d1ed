"""What is chosen on the command line reaches the engine's settings, under the same names."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from llm_infer.errors import UnsupportedError
from llm_infer.options.model import ModelOptions
from llm_infer.settings import AdapterPaths, Backend, CacheSettings, Precision, Scheduling

NOT_OPTIONS = {"lora_paths", "prefix_paths", "max_sequences", "max_length"}
"""Several adapters and prefixes come from options of the singular; the others from commands."""
README = Path(__file__).parents[1] / "README.md"


def options(**given):
    return ModelOptions(model_name_or_path="m", **given)


def test_fields_are_called_as_the_options_are():
    known = {field.name for field in fields(ModelOptions)}
    for group in (Precision, CacheSettings, AdapterPaths, Scheduling, Backend):
        assert {field.name for field in fields(group)} - NOT_OPTIONS <= known


def test_every_option_arrives():
    chosen = {
        "dtype": "bfloat16",
        "quant_type": "weight_only_int4",
        "act_quant_type": "int8_token",
        "quantize_head": False,
        "cachekv_dtype": "bfloat16",
        "block_size": 32,
        "num_blocks": 7,
        "prefix_cache": False,
        "max_batch_tokens": 96,
        "speculate_ngram": 3,
        "threads": 2,
    }
    made = options(**chosen)
    groups = (made.precision(), made.cache_settings(), made.scheduling(5, 77), made.backend())
    found = {name: value for group in groups for name, value in asdict(group).items()}
    rest = {
        "cachekv_int8_type": None,
        "max_sequences": 5,
        "max_length": 77,
        "inference_model": True,
        "mode": "dynamic",
        "model_prefix": "model",
    }
    assert found == {**chosen, **rest}


def test_defaults_of_the_command_line_round_inputs_and_those_of_python_do_not():
    assert options().precision() == Precision(act_quant_type="int8_block", quantize_head=True)
    assert options(act_quant_type="none").precision() == Precision(quantize_head=True)
    assert options(inference_model=False).precision() == Precision()


def test_one_adapter_is_merged_and_several_stay_beside(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert options(lora_path=[str(one)]).adapter_paths() == AdapterPaths(lora_path=str(one))
    both = options(lora_path=[f"a={one}", f"b={two}"], prefix_path=[str(two)]).adapter_paths()
    assert both == AdapterPaths(
        lora_paths={"a": str(one), "b": str(two)}, prefix_paths={"default": str(two)}
    )
    with pytest.raises(UnsupportedError, match="does not exist"):
        options(lora_path=[str(tmp_path / "three")]).adapter_paths()


def test_the_readmes_example_runs(tiny_model, capsys):
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [text for text in examples if "load_engine" in text]
    exec(example.replace("path/to/model", str(tiny_model)), {})
    assert capsys.readouterr().out
