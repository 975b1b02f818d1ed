"""From `--input_dir`, `--split` and sample counts to the datasets of a run."""

from __future__ import annotations

from collections.abc import Sequence

from llm_data.indexed import IndexedDataset
from llm_data.pretrain.blend import BlendedDataset, parse_input_dir
from llm_data.pretrain.concatenated import ConcatenatedDataset
from llm_data.pretrain.dataset import PretrainDataset
from llm_data.pretrain.split import split_documents

NAMES = ("training", "validation", "test")
Part = PretrainDataset | BlendedDataset | ConcatenatedDataset


def build_pretrain_datasets(
    input_dir: str,
    split: str,
    max_seq_length: int,
    *,
    num_samples: Sequence[int | None] = (None, None, None),
    seed: int = 42,
) -> tuple[Part | None, Part | None, Part | None]:
    """Training, validation and test datasets; None where the split leaves no documents.

    input_dir: see `parse_input_dir`. num_samples: length of each; 0: the part is not needed and
    may be too short; None: as many samples as one epoch of every prefix has. Several prefixes are
    mixed by weight; validation and test of length None hold each of their samples once instead,
    prefix after prefix. Only training is shuffled.
    Raises SampleError when a part that is needed cannot fill a single sample.
    """
    sources = [(weight, IndexedDataset(prefix)) for weight, prefix in parse_input_dir(input_dir)]
    parts: list[Part | None] = []
    for index, name in enumerate(NAMES):
        datasets: list[PretrainDataset] = []
        weights: list[float] = []
        for weight, data in sources:
            documents = split_documents(split, len(data))[index]
            if documents and num_samples[index] != 0:
                sample = PretrainDataset(
                    data,
                    max_seq_length,
                    documents=documents,
                    num_samples=num_samples[index],
                    seed=seed,
                    shuffle=index == 0,
                    name=name,
                )
                datasets.append(sample)
                weights.append(weight)
        whole = index > 0 and num_samples[index] is None
        parts.append(_joined(datasets, None if whole else weights, num_samples[index]))
    return parts[0], parts[1], parts[2]


def _joined(
    datasets: list[PretrainDataset], weights: list[float] | None, num_samples: int | None
) -> Part | None:
    if len(datasets) < 2:
        return datasets[0] if datasets else None
    if weights is None:
        return ConcatenatedDataset(datasets)
    length = num_samples or sum(dataset.samples_per_epoch for dataset in datasets)
    return BlendedDataset(datasets, weights, length)
