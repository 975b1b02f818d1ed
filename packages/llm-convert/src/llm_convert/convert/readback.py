"""Does what was written hold the source's tensors? For what no decoder here runs.

    certificate = certify_tensors(options, folder, held)    # reads `held`, writes certificate.json

Encoders and adapters have no logits to compare (`llm_convert.verify.certificate` does that for
models), so every tensor is read back from the files and compared with the one it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_convert.convert.options import ConvertOptions
from llm_convert.errors import ConvertError
from llm_convert.files.dtypes import dtype_name
from llm_convert.verify.certificate import write_certificate
from llm_convert.verify.comparison import finite


class Held(NamedTuple):
    """A tensor of the source as the files should hold it, and as they do.

    `rounding`: the largest difference that arithmetic explains, where a conversion multiplies;
    0: `found` is `wanted` in the type of `found`, bit by bit.
    """

    name: str
    wanted: np.ndarray
    found: np.ndarray
    rounding: float = 0.0


@dataclass(frozen=True)
class TensorCertificate:
    """What comparing `tensors` of them found.

    exact: every bit is the source's. max_abs_diff: largest difference of an element.
    max_abs_value: largest element of the source, to relate it to.
    """

    tensors: int
    exact: bool
    max_abs_diff: float
    max_abs_value: float


def certify_tensors(
    options: ConvertOptions, folder: Path, held: Iterable[Held]
) -> TensorCertificate | None:
    """Compare and write certificate.json into `folder`; None, nothing read, with --verify false.

    Raises ConvertError for a tensor that is not what it should be, for one that the type could not
    hold, and for a --max_kl where bits have changed: there are no logits to measure it by.
    """
    if options.verified is False:
        return None
    certificate = compare_tensors(held)
    if options.max_kl is not None and not certificate.exact:
        message = (
            f"--max_kl {options.max_kl:g} is about logits, and no decoder here computes those of "
            f"{options.from_torch or options.to_torch}; its tensors have changed by at most "
            f"{certificate.max_abs_diff:.2g}. Nothing was written; leave out --max_kl."
        )
        raise ConvertError(message)
    write_certificate(folder, finite(asdict(certificate)))
    return certificate


def compare_tensors(held: Iterable[Held]) -> TensorCertificate:
    """Compare tensors one after the other. Raises ConvertError as `certify_tensors`."""
    count, exact, difference, largest = 0, True, 0.0, 0.0
    for each in held:
        found_difference = _difference(each)
        count += 1
        exact = exact and each.wanted.dtype == each.found.dtype and not each.rounding
        difference = max(difference, found_difference)
        largest = max(largest, _largest(each.wanted))
    return TensorCertificate(count, exact, difference, largest)


def said(certificate: TensorCertificate | None) -> str:
    """The certificate in a sentence, or that there is none."""
    if certificate is None:
        return "Not verified; --verify true does that."
    start = f"Certificate over {certificate.tensors} tensors, read back:"
    if certificate.exact:
        return f"{start} every bit is the source's."
    return (
        f"{start} they differ from the source's by at most {certificate.max_abs_diff:.2g} (the "
        f"largest number is {certificate.max_abs_value:.2g})."
    )


def _difference(held: Held) -> float:
    """The largest difference of two tensors; ConvertError where it should not be."""
    name, wanted, found, rounding = held
    with np.errstate(over="ignore", invalid="ignore"):
        right = wanted if rounding else wanted.astype(found.dtype, copy=False)
        difference = 0.0
        if wanted.dtype != found.dtype or rounding:
            difference = _largest(wanted.astype(np.float64) - found.astype(np.float64))
    if not (difference <= rounding if rounding else _same_bits(right, found)):
        message = (
            f"{name}, read back, is not what should have been written. Nothing was written; the "
            "disk may be full or damaged: write to another folder."
        )
        raise ConvertError(message)
    if np.isinf(difference):
        message = (
            f"{name} holds numbers too large for {dtype_name(found.dtype)}. Nothing was written; "
            "choose bfloat16 or float32 (--dtype)."
        )
        raise ConvertError(message)
    return difference


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return False
    flat = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (one, other))
    return np.array_equal(next(flat), next(flat))


def _largest(array: np.ndarray) -> float:
    """The largest magnitude; what is no number, and was none in the source, does not count."""
    magnitudes = np.abs(array.astype(np.float64, copy=False))
    return float(np.max(magnitudes, initial=0.0, where=~np.isnan(magnitudes)))
