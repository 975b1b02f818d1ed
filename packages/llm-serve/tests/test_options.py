"""Options: what is checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_cli.options import option_specs
from llm_infer.errors import UnsupportedError
from llm_infer.options.model import ModelOptions
from llm_serve.errors import ServeError
from llm_serve.options import KEY_VARIABLE, ServeOptions


def test_the_name_is_the_folders_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServeOptions(model_name_or_path="a/my-model/").served_model_name == "my-model"
    named = ServeOptions(model_name_or_path="a/my-model", served_model_name="chat")
    assert named.served_model_name == "chat"
    monkeypatch.chdir(tmp_path)
    assert ServeOptions(model_name_or_path=".").served_model_name == tmp_path.name


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "from-outside")
    assert ServeOptions(model_name_or_path="m").api_key == "from-outside"
    assert ServeOptions(model_name_or_path="m", api_key="given").api_key == "given"
    monkeypatch.setenv(KEY_VARIABLE, "")
    assert ServeOptions(model_name_or_path="m").api_key is None


@pytest.mark.parametrize("key", ["", " ", "secret ", "two\nlines", "\udcff"])
def test_a_key_that_no_header_can_hold_is_refused(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServeError, match=f"--api_key or {KEY_VARIABLE}") as refused:
        ServeOptions(model_name_or_path="m", api_key=key)
    assert "secret" not in str(refused.value)
    monkeypatch.setenv(KEY_VARIABLE, "secret\n")
    with pytest.raises(ServeError, match="line breaks"):
        ServeOptions(model_name_or_path="m")


def test_random_weights_are_not_served() -> None:
    with pytest.raises(ServeError, match="--use_fake_parameter makes answers that mean nothing"):
        ServeOptions(model_name_or_path="m", use_fake_parameter=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", -1),
        ("port", 70000),
        ("max_concurrency", 0),
        ("max_queue", -1),
        ("request_timeout", -1.0),
        ("heartbeat", 0.0),
        ("shutdown_timeout", -0.1),
        ("max_length", 0),
    ],
)
def test_values_out_of_range_name_the_option(field: str, value: float) -> None:
    with pytest.raises(ServeError, match=f"--{field} is {value}"):
        ServeOptions(model_name_or_path="m", **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("block_size", 0),
        ("num_blocks", 0),
        ("threads", 0),
        ("speculate_ngram", -1),
        ("cachekv_dtype", "float8"),
        ("mode", "frozen"),
        ("quant_type", "int3"),
        ("device", "gpu"),
    ],
)
def test_the_engines_options_are_checked_as_llm_infer_does(field: str, value: object) -> None:
    with pytest.raises(UnsupportedError, match=f"--{field} (is )?'?{value}"):
        ServeOptions(model_name_or_path="m", **{field: value})
    with pytest.raises(UnsupportedError, match=f"--{field} (is )?'?{value}"):
        ModelOptions(model_name_or_path="m", **{field: value})


def test_every_option_of_the_engine_is_one_of_the_server_and_says_the_same() -> None:
    served = {spec.name: spec for spec in option_specs(ServeOptions)}
    for spec in option_specs(ModelOptions):
        assert served[spec.name] == spec
    both = ServeOptions(model_name_or_path="m", quant_type="a8w8c8", avx_type="bf16")
    assert (both.quant_type, both.cachekv_int8_type, both.dtype) == ("a8w8", "dynamic", "bfloat16")
