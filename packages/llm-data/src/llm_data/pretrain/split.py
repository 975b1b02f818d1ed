"""Splits documents into training, validation and test parts by ratios such as "949,50,1"."""

from __future__ import annotations

from llm_data.errors import SampleError


def split_documents(split: str, count: int) -> tuple[range, range, range]:
    """Ranges of documents for training, validation and test.

    split: up to three ratios separated by commas or slashes; they need not sum to anything, and
    missing ones are 0. The borders are rounded as in Megatron and PaddleNLP (`round` of each
    share, then the rounding error is taken off every border), so the same documents are held out.
    Raises SampleError for ratios that are no numbers, negative, or all zero.
    """
    separator = "/" if "/" in split else ","
    try:
        ratios = [float(part) for part in split.split(separator) if part.strip()]
    except ValueError:
        ratios = []
    ratios = [*ratios, 0.0, 0.0, 0.0][: max(3, len(ratios))]
    if len(ratios) != 3 or min(ratios) < 0 or not 0 < sum(ratios) < float("inf"):
        message = (
            f"--split {split!r} is not understood. Give the shares of training, validation and "
            'test as in "949,50,1".'
        )
        raise SampleError(message)
    total = sum(ratios)
    borders = [0]
    for ratio in ratios:
        borders.append(borders[-1] + round(ratio / total * float(count)))
    excess = borders[-1] - count
    borders = [0, *(max(border - excess, 0) for border in borders[1:])]
    return (
        range(borders[0], borders[1]),
        range(borders[1], borders[2]),
        range(borders[2], borders[3]),
    )
