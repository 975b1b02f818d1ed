"""Names of models: the served one, its adapters and its tuned prefixes."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_infer.errors import UnsupportedError
from llm_serve.errors import ServeError
from llm_serve.names import Variant, variants
from llm_serve.options import ServeOptions


def found(folder: Path, lora: list[str], prefix: list[str]) -> dict[str, Variant]:
    for name in ("a", "b", "c"):
        (folder / name).mkdir(exist_ok=True)
    options = ServeOptions(
        model_name_or_path=str(folder),
        served_model_name="tiny",
        lora_path=[value.replace("/", f"{folder}/") for value in lora],
        prefix_path=[value.replace("/", f"{folder}/") for value in prefix],
    )
    return variants(options)


def test_without_adapters_there_is_one_name(tmp_path: Path) -> None:
    assert found(tmp_path, [], []) == {"tiny": Variant()}


def test_of_several_the_request_chooses(tmp_path: Path) -> None:
    assert found(tmp_path, ["x=/a", "y=/b"], ["z=/a", "w=/c"]) == {
        "tiny": Variant(),
        "x": Variant(adapter="x"),
        "y": Variant(adapter="y"),
        "z": Variant(prefix="z"),
        "w": Variant(prefix="w"),
    }


def test_one_is_everyones(tmp_path: Path) -> None:
    merged, before_all = Variant(), Variant(prefix="default")
    assert found(tmp_path, ["x=/a"], []) == {"tiny": merged, "x": merged}
    assert found(tmp_path, [], ["/a"]) == {"tiny": before_all}
    both = found(tmp_path, ["x=/a", "y=/b"], ["z=/c"])
    assert both["tiny"] == both["z"] == Variant(prefix="z")
    assert both["x"] == Variant(adapter="x", prefix="z")


def test_the_unnamed_one_of_several_is_the_served_models(tmp_path: Path) -> None:
    assert found(tmp_path, ["/a", "y=/b"], []) == {
        "tiny": Variant(adapter="default"),
        "y": Variant(adapter="y"),
    }


@pytest.mark.parametrize(
    ("lora", "prefix"),
    [(["tiny=/a", "y=/b"], []), (["x=/a"], ["x=/b"]), ([], ["tiny=/a"])],
)
def test_a_name_for_two_things_is_refused(
    tmp_path: Path, lora: list[str], prefix: list[str]
) -> None:
    with pytest.raises(ServeError, match=r"names two of.*--served_model_name"):
        found(tmp_path, lora, prefix)


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"--lora_path x=.*nowhere does not exist"):
        found(tmp_path, ["x=/nowhere"], [])
