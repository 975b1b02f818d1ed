"""Labels and truncation, against the rules written out step by step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.chat_template import from_rounds, load_chat_template
from llm_data.errors import RecordError, SampleError, TokenizerError
from llm_data.sft import IGNORED, SampleEncoder, parse_record
from llm_data.tokenizer import Tokenizer, load_tokenizer

WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "x", "10"]), min_size=1).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(src=WORDS, tgt=WORDS, src_length=st.integers(1, 12), room=st.integers(1, 12))
def test_plain_rules(bpe: Tokenizer, src: str, tgt: str, src_length: int, room: int) -> None:
    max_length = src_length + room
    encoder = SampleEncoder(bpe, None, src_length, max_length)
    source, target = bpe.encode(src), bpe.encode(tgt)
    source_ids = source[-src_length:]
    target_ids = target[: max_length - len(source_ids)]
    if len(target_ids) < max_length - len(source_ids):
        target_ids = [*target_ids, 0]
    if len(target_ids) + len(source_ids) == 1:
        return
    whole = source_ids + target_ids
    labels = ([IGNORED] * len(source_ids) + target_ids)[1:]
    sample = encoder.encode(parse_record({"src": src, "tgt": tgt}))
    assert sample.input_ids.tolist() == whole[:-1]
    assert sample.labels.tolist() == labels
    assert sample.source_cut == (len(source) > src_length)
    assert sample.target_cut == (len(target) > max_length - len(source_ids))
    assert sample.ends == (target_ids[-1] == 0)
    assert len(whole) <= max_length


def test_special_tokens_around_a_cut_question_stay(sentencepiece_folder: Path) -> None:
    tokenizer = load_tokenizer(sentencepiece_folder)
    encoder = SampleEncoder(tokenizer, None, 6, 20)
    text = "the parser of the arguments"
    sample = encoder.encode(parse_record({"src": text, "tgt": "x"}))
    source = sample.input_ids[:6].tolist()
    assert source == [tokenizer.bos_token_id, *tokenizer.encode(text)[-5:]]
    assert sample.source_cut


def test_template_masks_each_question_and_learns_each_end(bpe: Tokenizer, chatml: Path) -> None:
    template = load_chat_template(chatml, bpe)
    encoder = SampleEncoder(bpe, template, 100, 400)
    record = {"src": ["one", "two"], "tgt": ["first", "second"], "label": [0, 1]}
    sample = encoder.encode(parse_record(record))
    end = bpe.special_tokens["<|im_end|>"]
    learnt = sample.labels[sample.labels != IGNORED].tolist()
    assert learnt == [*bpe.encode("second"), end]
    both = encoder.encode(parse_record({**record, "label": [1, 1]}))
    learnt = both.labels[both.labels != IGNORED].tolist()
    assert learnt == [*bpe.encode("first"), end, *bpe.encode("second"), end]
    assert both.ends
    text = bpe.decode(both.input_ids.tolist(), skip_special_tokens=False)
    assert text.startswith("You are a helpful assistant.\n<|im_start|>user\none<|im_end|>\n")


def test_template_drops_whole_rounds_oldest_first(bpe: Tokenizer, chatml: Path) -> None:
    template = load_chat_template(chatml, bpe)
    rounds = from_rounds(["one", "two", "three"], ["a", "b", "c"], system="s")
    full = SampleEncoder(bpe, template, 200, 400).encode(rounds)
    total = full.input_ids.size + 1
    less = SampleEncoder(bpe, template, total - 2, total - 1).encode(rounds)
    assert (less.rounds_dropped, less.source_cut, less.target_cut) == (1, False, False)
    text = bpe.decode(less.input_ids.tolist(), skip_special_tokens=False)
    assert text.startswith("s\n<|im_start|>user\ntwo")
    # What is kept is exactly the end of the whole, after the system text.
    system = len(bpe.encode("s"))
    kept = less.input_ids[system:]
    assert full.input_ids[-kept.size :].tolist() == kept.tolist()


def test_template_cuts_the_last_round_on_the_right(bpe: Tokenizer, chatml: Path) -> None:
    template = load_chat_template(chatml, bpe)
    asked, answered = "alpha " * 30, "beta " * 30
    conversation = from_rounds([asked], [answered], system="s")
    full = SampleEncoder(bpe, template, 500, 1000).encode(conversation)
    cut = SampleEncoder(bpe, template, 10, 25).encode(conversation)
    assert cut.source_cut
    assert cut.target_cut
    assert not cut.ends
    assert cut.input_ids.size == 24
    assert cut.input_ids[:10].tolist() == full.input_ids[:10].tolist()
    answer = full.labels[full.labels != IGNORED]
    assert cut.labels[cut.labels != IGNORED].tolist() == answer[:15].tolist()


def test_nothing_left_to_learn_is_no_sample(bpe: Tokenizer, chatml: Path) -> None:
    template = load_chat_template(chatml, bpe)
    long_system = from_rounds(["a"], ["b"], system="alpha " * 50)
    with pytest.raises(RecordError, match="system text alone"):
        SampleEncoder(bpe, template, 5, 10).encode(long_system)
    unlearnt = parse_record({"src": ["a", "c"], "tgt": ["b", "alpha " * 50], "label": [1, 0]})
    with pytest.raises(RecordError, match="no trained token"):
        SampleEncoder(bpe, template, 5, 100).encode(unlearnt)
    with pytest.raises(RecordError, match="need a chat template"):
        SampleEncoder(bpe, None).encode(from_rounds(["a", "b"], ["c", "d"]))


@pytest.mark.parametrize(("src_length", "max_length"), [(0, 8), (8, 8), (9, 8)])
def test_lengths_that_leave_no_room(bpe: Tokenizer, src_length: int, max_length: int) -> None:
    with pytest.raises(SampleError, match=f"--src_length {src_length}"):
        SampleEncoder(bpe, None, src_length, max_length)


def test_tokenizer_without_an_end(bpe_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((bpe_folder / "tokenizer.json").read_bytes())
    with pytest.raises(TokenizerError, match="no eos_token"):
        SampleEncoder(load_tokenizer(tmp_path), None)


def test_arrays(bpe: Tokenizer) -> None:
    sample = SampleEncoder(bpe, None).encode(parse_record({"src": "a", "tgt": "b"}))
    assert sample.input_ids.dtype == sample.labels.dtype == np.int64
    assert sample.trained_tokens == 2
    assert not sample.cut
