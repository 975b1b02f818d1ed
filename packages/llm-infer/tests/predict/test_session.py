"""What is wrong with a folder is said about the folder."""

from __future__ import annotations

import shutil

import pytest

from llm_convert.errors import ConvertError
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
