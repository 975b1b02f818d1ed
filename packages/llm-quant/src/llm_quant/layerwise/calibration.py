"""Calibration samples: token ids from pretraining data or from {"src", "tgt"} lines.

Knows llm-data's files; refuses to know models, except that ids must lie below the vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from llm_data.indexed import IndexedDataset
from llm_data.pretrain import (
    BlendedDataset,
    PretrainDataset,
    parse_input_dir,
    split_documents,
)
from llm_data.sft import SftDataset
from llm_data.tokenizer import load_tokenizer
from llm_quant.errors import CalibrationError

logger = logging.getLogger(__name__)


def pretrain_samples(
    input_dir: str, split: str, max_length: int, count: int, seed: int
) -> list[np.ndarray]:
    """`count` windows int64 [max_length] of the training documents, in the order of `seed`.

    Raises CalibrationError when the split leaves no training documents, and llm-data's errors
    when a part is shorter than one window.
    """
    datasets: list[PretrainDataset] = []
    weights: list[float] = []
    for weight, prefix in parse_input_dir(input_dir):
        data = IndexedDataset(prefix)
        documents = split_documents(split, len(data))[0]
        if documents:
            datasets.append(
                PretrainDataset(
                    data,
                    max_length,
                    documents=documents,
                    num_samples=count,
                    seed=seed,
                    name="training",
                )
            )
            weights.append(weight)
    if not datasets:
        message = (
            f"--split {split} leaves no training documents of {input_dir} to calibrate with. "
            "Give its first number a share."
        )
        raise CalibrationError(message)
    mixed = datasets[0] if len(datasets) == 1 else BlendedDataset(datasets, weights, count)
    return [mixed[i]["input_ids"] for i in range(count)]


def sft_samples(
    path: str,
    tokenizer: str,
    *,
    chat_template: str | None,
    src_length: int,
    max_length: int,
    count: int,
    seed: int,
) -> list[np.ndarray]:
    """At most `count` whole samples (prompt and answer) int64 [T] of quant.json, else train.json.

    tokenizer: the model folder. They are drawn without repeats in the order of `seed`, then
    sorted by length, which lets neighbours share a batch. Raises llm-data's errors.
    """
    data = SftDataset(
        path,
        load_tokenizer(tokenizer),
        split="quant",
        src_length=src_length,
        max_length=max_length,
        chat_template=chat_template,
    )
    drawn = np.random.default_rng(seed).permutation(len(data))[:count]
    if len(drawn) < count:
        logger.info("%s holds %d samples; all are used instead of %d.", path, len(drawn), count)
    samples = [data[int(i)]["input_ids"] for i in drawn]
    return sorted(samples, key=len)


def check_vocabulary(samples: Sequence[np.ndarray], vocab: int) -> None:
    """Refuse ids that the embedding does not have; raises CalibrationError."""
    highest = max(int(sample.max()) for sample in samples)
    if highest >= vocab:
        message = (
            f"The calibration data hold token {highest} but the model knows {vocab}: they were "
            "tokenized with another tokenizer. Tokenize them with the model's."
        )
        raise CalibrationError(message)
