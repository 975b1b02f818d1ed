"""What is wrong with a folder is said about the folder."""

from __future__ import annotations

import shutil

import pytest

from llm_convert.errors import ConvertError
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.session import open_session


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
