"""What is wrong with a folder is said about the folder."""

from __future__ import annotations

import json
import shutil

import pytest

from llm_convert.errors import ConvertError
from llm_data.errors import TemplateLockError
from llm_data.template_lock import LOCK_FILE, write_template_lock
from llm_data.tokenizer import load_tokenizer
from llm_infer.engine import EngineLimits
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.session import open_session, prompt_bound


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (None, "The model folder .*model does not exist"),
        ((), "has no config.json"),
        (("config.json",), "no weights"),
    ],
)
def test_the_model_folder_is_looked_at_before_the_tokenizer(tiny_model, tmp_path, files, said):
    folder = tmp_path / "model"
    if files is not None:
        folder.mkdir()
        for name in files:
            shutil.copy(tiny_model / name, folder)
    with pytest.raises(ConvertError, match=said):
        open_session(PredictOptions(model_name_or_path=str(folder)))


@pytest.mark.parametrize(
    ("src_length", "max_length", "num_blocks", "said"),
    [
        (20, 64, 9, "--src_length"),
        (1024, 64, 9, "--max_length is 64"),
        (1024, 2048, 9, "the model has 512 positions"),
        (1024, 2048, 2, "the KV cache has room for 128 tokens"),
    ],
)
def test_the_limit_that_binds_is_named(src_length, max_length, num_blocks, said):
    options = PredictOptions(model_name_or_path="m", src_length=src_length, max_length=max_length)
    limits = EngineLimits(num_blocks=num_blocks, max_positions=512, vocab_size=9)
    assert said in prompt_bound(options, limits)


def test_a_model_is_asked_only_as_it_was_trained(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    write_template_lock(folder, load_tokenizer(folder), None)
    options = PredictOptions(model_name_or_path=str(folder), chat_template="none")
    open_session(options).engine.close()
    template = tmp_path / "t.json"
    parts = ["<{{user}}>", "{{bot}}"]
    template.write_text(json.dumps({"conversation": parts, "query": "<{{query}}>"}))
    options = PredictOptions(model_name_or_path=str(folder), chat_template=str(template))
    with pytest.raises(TemplateLockError, match=f"remove {LOCK_FILE} if this is meant"):
        open_session(options)
