"""What the command is asked to answer is answered, or the question is refused."""

from __future__ import annotations

import pytest

from llm_infer.errors import InferError
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.run import predict


def test_a_prompt_beside_a_data_file_is_refused(tiny_model, tmp_path):
    options = PredictOptions(
        model_name_or_path=str(tiny_model), data_file=str(tmp_path / "in.json"), prompt=["hello"]
    )
    with pytest.raises(InferError, match=r"--prompt and --data_file .*in\.json.*Leave one out"):
        predict(options)


def test_where_the_answers_went_is_said(tiny_model, tmp_path, capsys):
    (tmp_path / "in.json").write_text('{"src": "hello"}\n{"src": "you"}\n', encoding="utf-8")
    output = tmp_path / "answers.json"
    predict(
        PredictOptions(
            model_name_or_path=str(tiny_model),
            data_file=str(tmp_path / "in.json"),
            output_file=str(output),
            max_length=12,
            threads=1,
        )
    )
    said = "".join(capsys.readouterr().out.split())  # without the terminal's line breaks
    assert f"Wrote{output}:2answers." in said
    assert len(output.read_text().splitlines()) == 2
