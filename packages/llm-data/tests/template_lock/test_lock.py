"""Locks: equal for the same rendering, refused with a diff for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_data.chat_template import load_chat_template
from llm_data.errors import TemplateLockError
from llm_data.template_lock import LOCK_FILE, check_template_lock, template_lock
from llm_data.template_lock import write_template_lock as write
from llm_data.tokenizer import Tokenizer, load_tokenizer


def test_sixteen_probes_with_ids(bpe: Tokenizer, chatml: Path) -> None:
    lock = template_lock(bpe, load_chat_template(chatml, bpe))
    assert len(lock["probes"]) == 16
    rendered = [entry["training"] for entry in lock["probes"].values() if entry["training"]]
    # A chat_template.json knows no tools.
    assert len(rendered) == 15
    assert len({tuple(ids) for ids in rendered}) == 15
    start = bpe.special_tokens["<|im_start|>"]
    assert all(start in ids for ids in rendered)
    forged = lock["probes"]["special tokens spelled out"]["training"]
    assert forged.count(start) == 2


def test_the_same_passes(bpe: Tokenizer, chatml: Path, tmp_path: Path) -> None:
    template = load_chat_template(chatml, bpe)
    check_template_lock(tmp_path, bpe, template)
    write(tmp_path, bpe, template)
    check_template_lock(tmp_path, bpe, load_chat_template(chatml, bpe))
    bpe.save(tmp_path)
    check_template_lock(tmp_path, load_tokenizer(tmp_path), template)


def test_another_template_is_refused_with_the_place(
    bpe: Tokenizer, chatml: Path, tmp_path: Path
) -> None:
    write(tmp_path, bpe, load_chat_template(chatml, bpe))
    content = json.loads(chatml.read_text(encoding="utf-8"))
    content["conversation"][1] = "{{bot}}<|im_end|>\n"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TemplateLockError) as caught:
        check_template_lock(tmp_path, bpe, load_chat_template(other, bpe))
    said = str(caught.value)
    assert "'one round', training, token" in said
    assert "trained: " in said
    assert r">>'\n" in said
    assert "leave out --tokenizer_name_or_path and --chat_template" in said
    with pytest.raises(TemplateLockError, match="with a chat template and would be asked with no"):
        check_template_lock(tmp_path, bpe, None)


def test_another_tokenizer_is_refused(
    bpe: Tokenizer, sentencepiece_folder: Path, tmp_path: Path
) -> None:
    write(tmp_path, bpe, None)
    check_template_lock(tmp_path, bpe, None)
    with pytest.raises(TemplateLockError, match="16 of 16 probe conversations differ"):
        check_template_lock(tmp_path, load_tokenizer(sentencepiece_folder), None)


def test_dates_do_not_break_a_lock(bpe: Tokenizer, tmp_path: Path) -> None:
    text = "{{ strftime_now('%c %f') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    source = tmp_path / "t.jinja"
    source.write_text(text, encoding="utf-8")
    write(tmp_path, bpe, load_chat_template(source, bpe))
    check_template_lock(tmp_path, bpe, load_chat_template(source, bpe))
    ids = json.loads((tmp_path / LOCK_FILE).read_text(encoding="utf-8"))["probes"]["a question"]
    assert bpe.decode(ids["inference"]) == "2024-01-01Hello"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lock: "{", "is not readable"),
        (lambda lock: json.dumps({**lock, "hash": "0"}), "its hash is not that of its ids"),
        (lambda lock: json.dumps({**lock, "version": 9}), "has version 9"),
        (lambda lock: "[]", "was changed"),
    ],
)
def test_damage(bpe: Tokenizer, tmp_path: Path, change: object, said: str) -> None:
    write(tmp_path, bpe, None)
    path = tmp_path / LOCK_FILE
    assert callable(change)
    path.write_text(change(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    with pytest.raises(TemplateLockError, match=said):
        check_template_lock(tmp_path, bpe, None)
