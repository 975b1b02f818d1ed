"""The files of an adapter: ours read them back, and paddlenlp's LoRAModel computes the same."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest

from llm_convert.errors import AdapterError
from llm_convert.lora import read_lora
from llm_convert.lora.base import BASE_FILE
from llm_convert.model import Model, open_model, save_model
from llm_kernels.families import ParameterKey
from llm_kernels.paddle.decoder import Decoder
from llm_kernels.paddle.weights import load_parameters
from llm_peft.lora.adapt import add_lora, lora_layers
from llm_peft.lora.files import LoraFiles
from llm_peft.lora.layer import LoraShape
from llm_peft.lora.targets import target_keys
from llm_train.model.words import Words

SHAPE = LoraShape(4, 6.0, dropout=0.1)


def trained(model: Model, targets: list[str] | None = None, seed: int = 1) -> Decoder:
    """A decoder with adapters that have learnt something (random B)."""
    decoder = Decoder(model.spec, model.sizes)
    load_parameters(decoder, model.dense)
    add_lora(decoder, target_keys(model.spec, model.sizes, targets), SHAPE, seed=seed)
    random = np.random.default_rng(seed)
    for _, layer in lora_layers(decoder):
        layer.lora_B.set_value(
            paddle.to_tensor(random.standard_normal(layer.lora_B.shape).astype(np.float32)) * 0.2
        )
    decoder.eval()
    return decoder


@pytest.mark.parametrize("family", ["llama_v2_gqa", "bloom", "qwen2_moe"])
@pytest.mark.parametrize("targets", [None, ["q"]])
def test_what_is_saved_is_loaded(
    golden: Path, tmp_path: Path, family: str, targets: list[str] | None
) -> None:
    model = open_model(golden / family)
    written = trained(model, targets)
    LoraFiles(written, SHAPE, model).save(tmp_path)
    other = trained(model, targets, seed=2)
    LoraFiles(other, SHAPE, model).load(tmp_path)
    again = dict(lora_layers(other))
    for key, layer in lora_layers(written):
        np.testing.assert_array_equal(layer.lora_A.numpy(), again[key].lora_A.numpy())
        np.testing.assert_array_equal(layer.lora_B.numpy(), again[key].lora_B.numpy())


def test_an_adapter_of_another_base_is_not_loaded(
    base: Model, tmp_path: Path, another_base: Model
) -> None:
    LoraFiles(trained(base), SHAPE, base).save(tmp_path)
    with pytest.raises(AdapterError, match=r"was trained on .*are others"):
        LoraFiles(trained(another_base), SHAPE, another_base).load(tmp_path)


def test_a_checkpoint_does_not_read_the_base(
    base: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LoraFiles(trained(base), SHAPE, base)
    read: list[ParameterKey] = []
    monkeypatch.setattr(Model, "dense", lambda _, key, *__: read.append(key))
    files.save(tmp_path)
    assert (tmp_path / BASE_FILE).is_file()
    assert not read


def test_the_configuration_is_paddlenlps(base: Model, base_folder: Path, tmp_path: Path) -> None:
    tokenizer: Any = SimpleNamespace(path=base_folder)
    words = Words(tokenizer)
    LoraFiles(trained(base, ["q_proj", "v_proj"]), SHAPE, base, words).save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"lora_config.json", "lora_model_state.pdparams", BASE_FILE, "tokenizer.json"} <= names
    config = json.loads((tmp_path / "lora_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["scaling"]) == (4, 6, 1.5)
    assert config["lora_dropout"] == 0.1
    assert config["base_model_name_or_path"] == str(base_folder)
    assert len(read_lora(tmp_path, base).pairs) == 2 * base.sizes.layers


@pytest.mark.parametrize(
    ("family", "model_class"), [("llama_v2_gqa", "LlamaForCausalLM"), ("bloom", "BloomForCausalLM")]
)
def test_paddlenlps_lora_model_computes_the_same(
    golden: Path, tmp_path: Path, family: str, model_class: str
) -> None:
    from llm_train.quiet import import_paddlenlp

    import_paddlenlp()
    from paddlenlp import transformers
    from paddlenlp.peft import LoRAModel

    model = open_model(golden / family)
    written = trained(model)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "base").mkdir()
    LoraFiles(written, SHAPE, model).save(tmp_path / "adapter")
    save_model(
        tmp_path / "base",
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        parameters=model.weight,
        naming="paddlenlp",
    )
    ids = np.random.default_rng(4).integers(3, model.sizes.vocab, (1, 9))
    theirs = getattr(transformers, model_class).from_pretrained(
        str(tmp_path / "base"), dtype="float32"
    )
    theirs = LoRAModel.from_pretrained(theirs, str(tmp_path / "adapter"))
    theirs.eval()
    with paddle.no_grad():
        logits = theirs(
            input_ids=paddle.to_tensor(ids), attention_mask=paddle.ones([1, 9], "int64")
        )
        ours = written(paddle.to_tensor(ids)).numpy()
    found = (logits[0] if isinstance(logits, tuple) else logits).numpy()
    np.testing.assert_allclose(found, ours, rtol=1e-4, atol=1e-4)
