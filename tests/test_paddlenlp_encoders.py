"""Encoders that `llm convert` writes for PaddleNLP, against PaddleNLP's own conversion and classes.

Two oracles: what `from_pretrained(convert_from_torch=True)` makes of the same files, tensor by
tensor, and transformers' outputs, recorded in each fixture, which PaddleNLP's class must give from
our files. Where PaddleNLP's own conversion goes wrong, `FAILS` and `WRONG` say how, and the outputs
alone decide.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.model import read_config

pytest.importorskip("paddlenlp", reason="needs paddlenlp, whose classes are the oracle")

FOLDER = Path(__file__).parent / "golden" / "encoders"
FIXTURES = sorted(path.parent.name for path in FOLDER.glob("*/config.json"))
# PaddleNLP's own conversion raises: it has no names for these heads, or transposes a vector.
FAILS = {
    "albert": "expected shape",
    "bert": "expected shape",
    "electra": "expected shape",
    "electra_masked_lm": "dimension",
    "roformer": "expected shape",
}
# Tensors that it leaves at random values or square matrices that it forgets to transpose.
WRONG = {
    "bart": {"lm_head_weight"},
    "bert_masked_lm": {
        "cls.predictions.decoder_bias",
        "cls.predictions.layer_norm.bias",
        "cls.predictions.layer_norm.weight",
        "cls.predictions.transform.bias",
        "cls.predictions.transform.weight",
    },
    "distilbert": {"vocab_projector.weight", "vocab_transform.weight"},
    "roberta": {"lm_head.dense.weight"},
}
# What a class holds beside the tensors of a file: buffers, what it ties, poolers without weights.
BESIDE = re.compile(
    r"position_ids$|embed_tokens\.weight$|lm_head\.decoder\.(weight|bias)$|pooler\.|"
    r"cls\.predictions\.decoder\.(weight|bias)$|cls\.predictions\.decoder_weight$|"
    r"predictions\.decoder\.bias$"
)
# PaddleNLP's AlbertForQuestionAnswering returns its start logits twice.
UNCOMPARED = {("albert_span", "end_logits")}


def model_class(name: str) -> Any:
    """PaddleNLP's class of this name."""
    import paddlenlp.transformers

    return getattr(paddlenlp.transformers, name)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """PaddleNLP without its log."""
    from paddlenlp.utils.log import logger

    level = logger.logger.level
    logger.set_level("ERROR")
    yield
    logger.logger.setLevel(level)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Fixture -> what `llm convert --from_torch` makes of it."""
    folder = tmp_path_factory.mktemp("converted")
    for name in FIXTURES:
        convert(ConvertOptions(from_torch=str(FOLDER / name), output_path=str(folder / name)))
    return {name: folder / name for name in FIXTURES}


def state(model: Any) -> dict[str, np.ndarray]:
    """The tensors that a class of PaddleNLP holds."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", FIXTURES)
def test_tensors_equal_those_of_paddlenlps_conversion(
    converted: dict[str, Path], tmp_path: Path, name: str
) -> None:
    (class_name,) = read_config(converted[name])["architectures"]
    source = tmp_path / name
    shutil.copytree(FOLDER / name, source)
    if name in FAILS:
        with pytest.raises((RuntimeError, ValueError), match=FAILS[name]):
            model_class(class_name).from_pretrained(str(source), convert_from_torch=True)
        return
    theirs = state(model_class(class_name).from_pretrained(str(source), convert_from_torch=True))
    ours = load_file(converted[name] / "model.safetensors")
    assert set(ours) <= set(theirs)
    assert [key for key in set(theirs) - set(ours) if not BESIDE.search(key)] == []
    assert {key for key in ours if ours[key].shape != theirs[key].shape} == set()
    differing = {key for key in ours if not np.array_equal(ours[key], theirs[key])}
    assert differing == WRONG.get(name, set())


@pytest.mark.parametrize("name", FIXTURES)
def test_paddlenlps_class_computes_what_the_original_computes(
    converted: dict[str, Path], name: str
) -> None:
    import paddle

    (class_name,) = read_config(converted[name])["architectures"]
    model = model_class(class_name).from_pretrained(str(converted[name]))
    model.eval()
    held = state(model)
    for key, array in load_file(converted[name] / "model.safetensors").items():
        np.testing.assert_array_equal(held[key], array, err_msg=key)
    with np.load(FOLDER / name / "golden.npz") as golden:
        given = {key: golden[key] for key in golden if key.startswith("input_")}
        wanted = {key.removeprefix("output_"): golden[key] for key in golden if key not in given}
    tensors = {key.removeprefix("input_"): paddle.to_tensor(value) for key, value in given.items()}
    named = {"return_dict": True} if "return_dict" in signature(model.forward).parameters else {}
    with paddle.no_grad():
        outputs = by_name(model(**tensors, **named), wanted)
    for key, expected in wanted.items():
        if (name, key) not in UNCOMPARED:
            np.testing.assert_allclose(outputs[key], expected, rtol=0, atol=1e-4, err_msg=key)


def by_name(out: Any, wanted: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by transformers' names; where PaddleNLP returns no names, in their order."""
    if hasattr(out, "keys") and set(wanted) <= set(out.keys()):
        return {key: out[key].numpy() for key in wanted}
    values = [out] if hasattr(out, "numpy") else list(out.values() if hasattr(out, "keys") else out)
    return {key: value.numpy() for key, value in zip(wanted, values, strict=False)}
