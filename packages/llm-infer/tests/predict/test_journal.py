"""What is left of a run, and what a later run makes of it."""

from __future__ import annotations

import fcntl
import json

import pytest

from llm_infer.errors import DataFileError
from llm_infer.predict.journal import Journal

RUN = {"data_file": "abc", "top_k": 1}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "new" / "out.json"


def test_answers_come_out_in_the_order_of_the_records(output):
    journal = Journal(output, RUN)
    for index in (2, 0, 1):
        journal.write(index, f"answer {index} é \ud800")
    journal.finish([{"src": str(i), "tgt": ""} for i in range(3)])
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(line["src"], line["output"]) for line in lines] == [
        (str(i), f"answer {i} é \ud800") for i in range(3)
    ]
    assert not journal.path.exists()


def test_the_same_run_goes_on_after_a_torn_line(output):
    first = Journal(output, RUN)
    first.write(1, "one")
    first.write(0, "zero")
    first.close()
    content = first.path.read_bytes()
    first.path.write_bytes(content[:-4])
    second = Journal(output, RUN)
    assert second.outputs == {1: "one"}
    second.write(0, "zero")
    second.close()
    assert first.path.read_bytes() == content


def test_another_run_is_refused_and_kept(output):
    journal = Journal(output, RUN)
    journal.write(0, "zero")
    journal.close()
    before = journal.path.read_bytes()
    with pytest.raises(DataFileError, match="another top_k"):
        Journal(output, {**RUN, "top_k": 5})
    assert journal.path.read_bytes() == before


def test_a_foreign_file_is_refused_and_kept(output):
    output.parent.mkdir()
    foreign = output.with_name("out.json.partial")
    header = json.dumps({"run": RUN}).encode() + b"\n"
    for content in (
        b'{"hello": 1}\n',
        b"no json\n",
        b"[1]\n",
        b'{"run": 1}\n',
        header + b'{"output": "x"}\n',
        header + b'{"index": "a", "output": "x"}\n',
    ):
        foreign.write_bytes(content)
        with pytest.raises(DataFileError, match="no journal"):
            Journal(output, RUN)
        assert foreign.read_bytes() == content


def test_two_runs_at_once_are_refused(output):
    journal = Journal(output, RUN)
    with pytest.raises(DataFileError, match="Another process"):
        Journal(output, RUN)
    journal.close()
    Journal(output, RUN).close()


def test_an_earlier_output_stays_until_the_new_one_is_whole(output):
    output.parent.mkdir()
    output.write_text("old")
    journal = Journal(output, RUN)
    journal.write(0, "zero")
    with pytest.raises(KeyError):
        journal.finish([{"src": "a"}, {"src": "b"}])
    assert output.read_text() == "old"
    assert journal.path.exists()


def test_a_journal_that_is_removed_while_it_is_being_opened_is_made_anew(output, monkeypatch):
    lock, opened = fcntl.flock, []

    def slow(stream, mode):
        if not opened:
            # Another run finishes here: between our open and our lock.
            journal_of(output).unlink()
        opened.append(stream)
        lock(stream, mode)

    monkeypatch.setattr(fcntl, "flock", slow)
    journal = Journal(output, RUN)
    journal.write(0, "zero")
    journal.close()
    assert len(opened) == 2
    assert b"zero" in journal_of(output).read_bytes()


def journal_of(output):
    return output.with_name("out.json.partial")
