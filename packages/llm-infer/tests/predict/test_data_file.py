"""Data files that cannot be used are refused before anything is generated or written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm_infer.errors import DataFileError, InferError
from llm_infer.predict.data_file import answer_file
from llm_infer.predict.options import PredictOptions
from llm_kernels.decoder import NativeDecoder

FAILURES = {
    "raises": RuntimeError("lost"),
    "gives NaN": None,
    "is interrupted": KeyboardInterrupt(),
}


def run(tiny_model, folder, lines, **options):
    data = folder / "in.json"
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    values = {"max_length": 40, "threads": 1, "output_file": str(folder / "out.json")}
    values |= {"overwrite": True, **options}
    answer_file(PredictOptions(model_name_or_path=str(tiny_model), data_file=str(data), **values))
    return [json.loads(line) for line in (folder / "out.json").read_text().splitlines()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{broken", "in.json:2: invalid JSON"),
        ('{"tgt": "x"}', "in.json:2: missing key 'src'"),
        ('{"src": ["a", "b"], "tgt": ["c", "d"]}', "in.json:2: .*--chat_template"),
        ('{"src": "' + "x" * 50 + '"}', "in.json:2: .*50 tokens, but at most 39"),
    ],
)
def test_the_line_at_fault_is_named(tiny_model, tmp_path, line, words):
    with pytest.raises(ValueError, match=words) as caught:
        run(tiny_model, tmp_path, ['{"src": "fine"}', line])
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


def test_an_empty_file_and_a_folder_as_output(tiny_model, tmp_path):
    with pytest.raises(ValueError, match="no lines"):
        run(tiny_model, tmp_path, [""])
    with pytest.raises(ValueError, match="is a folder"):
        run(tiny_model, tmp_path, ["{}"], output_file=str(tmp_path))


def test_a_finished_output_is_replaced_only_when_asked(tiny_model, tmp_path):
    first = run(tiny_model, tmp_path, ['{"src": "hello"}'], overwrite=False)
    with pytest.raises(DataFileError, match=r"out\.json exists.*--overwrite"):
        run(tiny_model, tmp_path, ['{"src": "other"}'], overwrite=False)
    assert [json.loads((tmp_path / "out.json").read_text())] == first
    assert run(tiny_model, tmp_path, ['{"src": "other"}'])[0]["src"] == "other"


def test_batches_answer_as_single_lines_do(tiny_model, tmp_path):
    lines = [json.dumps({"src": f"{'ab' * i} {i}", "tgt": "", "id": i}) for i in range(9)]
    sampling = {"decode_strategy": "sampling", "top_k": 0, "seed": 5}
    for options in ({}, sampling):
        single = run(tiny_model, tmp_path, lines, **options)
        assert run(tiny_model, tmp_path, lines, batch_size=4, **options) == single
        assert [line["id"] for line in single] == list(range(9))
    # Line i has the seed 5 + i, so that equal prompts do not get equal answers.
    equal = run(tiny_model, tmp_path, lines[:1] * 3, **sampling)
    assert len({line["output"] for line in equal}) > 1


def test_a_stop_string_is_no_part_of_the_answer(tiny_model, tmp_path):
    whole = run(tiny_model, tmp_path, ['{"src": "hello"}'])[0]["output"]
    middle = whole[5:7]
    cut = run(tiny_model, tmp_path, ['{"src": "hello"}'], stop=[middle])[0]["output"]
    assert cut == whole[: whole.index(middle)]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_run_whose_step_failed_goes_on_with_whole_answers_only(
    tiny_model, tmp_path, monkeypatch, caplog, failure
):
    lines = [json.dumps({"src": "ab" * (i + 1)}) for i in range(4)]
    options = {"batch_size": 2, "max_length": 12}
    expected = run(tiny_model, tmp_path, lines, **options)
    (tmp_path / "out.json").unlink()

    class Failing(NativeDecoder):
        steps = 0

        def step(self, batch):
            self.steps += 1
            if self.steps == 8 and FAILURES[failure]:
                raise FAILURES[failure]
            return super().step(batch) * (np.nan if self.steps >= 8 else 1)

    with monkeypatch.context() as patch:
        patch.setattr("llm_infer.runners.NativeDecoder", Failing)
        with pytest.raises((InferError, KeyboardInterrupt)):
            run(tiny_model, tmp_path, lines, **options)
    assert "closed file" not in caplog.text
    _, *kept = (tmp_path / "out.json.partial").read_text().splitlines()
    answers = {line["index"]: line["output"] for line in map(json.loads, kept)}
    assert answers == {index: expected[index]["output"] for index in answers}
    assert run(tiny_model, tmp_path, lines, **options) == expected


def test_the_line_whose_answer_failed_is_named(tiny_model, tmp_path, monkeypatch):
    class Sick(NativeDecoder):
        def step(self, batch):
            return super().step(batch) * np.nan

    monkeypatch.setattr("llm_infer.runners.NativeDecoder", Sick)
    with pytest.raises(InferError, match=r"in.json:1: The largest logit is nan.*partial"):
        run(tiny_model, tmp_path, ['{"src": "a"}'])


def test_a_changed_middle_of_a_large_file_is_another_run(tiny_model, tmp_path, monkeypatch):
    def lines(word):
        filler = [json.dumps({"src": "a", "tgt": "x" * 300_000}) for _ in range(8)]
        return [*filler[:4], json.dumps({"src": word}), *filler[4:]]

    class Failing(NativeDecoder):
        def step(self, batch):
            raise RuntimeError

    options = {"max_length": 12}
    with monkeypatch.context() as patch:
        patch.setattr("llm_infer.runners.NativeDecoder", Failing)
        with pytest.raises(InferError):
            run(tiny_model, tmp_path, lines("one"), **options)
    with pytest.raises(DataFileError, match="another data_file"):
        run(tiny_model, tmp_path, lines("two"), **options)
