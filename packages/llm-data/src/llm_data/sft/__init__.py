"""Supervised samples: records of questions and answers to ids, labels and positions.

    data = SftDataset("data/", tokenizer, split="train", src_length=1024, max_length=2048)
    data.report.rows()         # what was cut and dropped, and why
    data[0]["labels"]          # int64 [T], -100 where nothing is learnt, already shifted
    collate([data[0], data[1]], pad_token_id=0)["input_ids"]        # int64 [B, T]

Sample i is encoded when it is asked for; memory holds only lengths and places of lines.
"""

from __future__ import annotations

from llm_data.sft.collate import collate
from llm_data.sft.dataset import SftDataset
from llm_data.sft.encoding import IGNORED, EncodedSample, SampleEncoder
from llm_data.sft.files import find_split_files, has_split
from llm_data.sft.records import parse_record
from llm_data.sft.report import SftReport

__all__ = [
    "IGNORED",
    "EncodedSample",
    "SampleEncoder",
    "SftDataset",
    "SftReport",
    "collate",
    "find_split_files",
    "has_split",
    "parse_record",
]
