"""Pretraining samples out of indexed token files.

    train, valid, test = split_documents("949,50,1", len(data))
    samples = PretrainDataset(data, 1024, documents=train, seed=42)
    samples[0]["input_ids"]                        # int64 [1024]

Sample i depends on (data, seed, i) alone: resuming means going on at the next i. No index of
samples is built or kept in memory; a sample is a slice of the memory map.
"""

from __future__ import annotations

from llm_data.indexed import find_prefixes
from llm_data.pretrain.blend import BlendedDataset, parse_input_dir
from llm_data.pretrain.build import build_pretrain_datasets
from llm_data.pretrain.concatenated import ConcatenatedDataset
from llm_data.pretrain.dataset import PretrainDataset
from llm_data.pretrain.split import split_documents

__all__ = [
    "BlendedDataset",
    "ConcatenatedDataset",
    "PretrainDataset",
    "build_pretrain_datasets",
    "find_prefixes",
    "parse_input_dir",
    "split_documents",
]
