"""What the command is asked to answer is answered, or the question is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from llm_infer.errors import InferError
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.run import predict


def test_a_prompt_beside_a_data_file_is_refused(tiny_model, tmp_path):
    options = PredictOptions(
        model_name_or_path=str(tiny_model), data_file=str(tmp_path / "in.json"), prompt=["hello"]
    )
    with pytest.raises(InferError, match=r"--prompt and --data_file .*in\.json.*all but one"):
        predict(options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"output_file": "answers.json"}, r"--output_file answers\.json has no effect on prompts"),
        ({"overwrite": True}, "--overwrite has no effect on prompts"),
        ({"benchmark": True}, "--prompt and --benchmark were given together"),
    ],
)
def test_what_would_be_ignored_is_refused(tiny_model, given, message):
    options = PredictOptions(model_name_or_path=str(tiny_model), prompt=["hello"], **given)
    with pytest.raises(InferError, match=message):
        predict(options)


def test_figures_do_not_replace_answers(tiny_model, tmp_path):
    output = tmp_path / "output.json"
    options = PredictOptions(
        model_name_or_path=str(tiny_model),
        benchmark=True,
        output_file=str(output),
        src_length=4,
        max_length=8,
        threads=1,
    )
    output.write_text('{"src": "hello", "output": "you"}\n', encoding="utf-8")
    with pytest.raises(InferError, match=r"output\.json exists .* add --overwrite"):
        predict(options)
    predict(dataclasses.replace(options, overwrite=True))
    predict(options)  # figures replace figures
    assert "ttft_s" in json.loads(output.read_text())


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
