"""Lines by number, in constant memory."""

from __future__ import annotations

import json
import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.errors import RecordError
from llm_data.json_lines import JsonLines, parse_object

LINES = st.lists(
    st.one_of(
        st.just(""),
        st.just("   \t"),
        st.just(" " * 40),
        st.dictionaries(st.text(max_size=3), st.text(max_size=9), max_size=3).map(json.dumps),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(files=st.lists(LINES, min_size=1, max_size=3), ending=st.sampled_from(["\n", "\r\n"]))
def test_the_same_as_reading_line_by_line(files: list[list[str]], ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.json" for i in range(len(files))]
        expected: list[tuple[str, dict[str, str]]] = []
        for path, lines in zip(paths, files, strict=True):
            path.write_bytes(ending.join(lines).encode())
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    expected.append((f"{path}:{number}", json.loads(line)))
        found = JsonLines(paths)
        assert [(found.place(i), found[i]) for i in range(len(found))] == expected


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": 1}\n\n{"a": \n[1]\n\xff\xfe{}\n')
    lines = pickle.loads(pickle.dumps(JsonLines([path])))
    assert len(lines) == 4
    for index, message in ((1, r"a\.json:3: invalid JSON"), (2, r"a\.json:4: a JSON list")):
        with pytest.raises(RecordError, match=message):
            lines[index]
    with pytest.raises(RecordError, match=r"a\.json:5: invalid"):
        lines[3]
    with pytest.raises(IndexError, match="there are 4"):
        lines[4]


def test_a_json_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\n [{"a": 1},\n {"a": 2}]', encoding="utf-8")
    with pytest.raises(RecordError, match="one JSON array"):
        JsonLines([path])


def test_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"")
    assert len(JsonLines([path])) == len(JsonLines([])) == 0


def test_parse_object_gives_the_reason_alone() -> None:
    with pytest.raises(RecordError, match=r"^invalid UTF-8$"):
        parse_object(b'{"a": "\xff"}')
