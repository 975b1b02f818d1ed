"""Does a model that was written answer as the one it was made from?

    with written_folder(...) as folder:
        save_model(folder, ...)
        certificate = certified(source, folder, max_kl=0.01)    # reads the files back

Both run on the same random tokens through the NumPy reference decoder, the weights of each as its
own files hold them. The cost is two passes over 256 tokens, so models above LIMIT parameters are
compared only when asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.outputs import written_file
from llm_cli.progress import progress
from llm_convert.errors import ConvertError
from llm_convert.model import Model, open_model
from llm_convert.verify.comparison import Comparison, compare
from llm_convert.verify.finite import check_finite
from llm_kernels.families import FamilySpec, ParameterKey, Sizes
from llm_kernels.reference_decoder import Source, forward

CERTIFICATE_FILE = "certificate.json"
LIMIT = 2_000_000_000
"""Parameters from which on a model is compared only when that is asked for."""
TOKENS = 256
PASSES = 2
"""How often `certify` runs a model."""


@dataclass(frozen=True)
class Certificate(Comparison):
    """A comparison on random tokens, and their seed."""

    seed: int


def certified(
    source: Model,
    folder: Path,
    *,
    wanted: bool | None = None,
    max_kl: float | None = None,
    opened: Callable[[Path], Model] = open_model,
) -> Certificate | None:
    """Compare the model in `folder`, as `opened`, with `source` and write certificate.json there.

    None, and nothing written, where `wanted` is false; by default it is true for models below LIMIT
    parameters and where there is a `max_kl`. Raises ConvertError when the mean KL divergence is
    above `max_kl`, and when either has logits that are not finite.
    """
    if wanted is None:
        small = sum(prod(shape) for shape in source.parameters.values()) < LIMIT
        wanted = small or max_kl is not None
    if not wanted:
        return None
    with progress("verify", total=PASSES, unit="passes") as bar:
        certificate = certify(source, opened(folder), passed=bar.advance)
    if max_kl is not None and not certificate.mean_kl <= max_kl:
        message = (
            f"The result is {certificate.mean_kl:.3g} nats (mean KL over {certificate.tokens} "
            f"random tokens) away from {source.path}, more than --max_kl {max_kl:g}. Nothing was "
            "written; choose a wider type, or a larger --max_kl."
        )
        raise ConvertError(message)
    write_certificate(folder, certificate.content())
    return certificate


def certify(
    source: Model,
    result: Model,
    *,
    tokens: int = TOKENS,
    seed: int = 0,
    passed: Callable[[int], None] = lambda _: None,
) -> Certificate:
    """Compare `result` with `source` on `tokens` random ones (at most a context).

    `passed` is told 1 after each of the PASSES, for a progress bar. Raises ConvertError where
    logits are not finite.
    """
    ids = random_tokens(source.sizes, tokens, seed)

    def logits(model: Model) -> np.ndarray:
        # What overflows is told below, in a sentence.
        with np.errstate(over="ignore", invalid="ignore"):
            found = plain_logits(model.spec, model.sizes, streamed(model), ids)
        passed(1)
        return found

    wanted = logits(source)
    check_finite(wanted, source.path)
    found = logits(result)
    if not np.isfinite(found).all():
        message = (
            f"The logits of the result are not finite, those of {source.path} are: some weights "
            "are too large for the type they were written in. Nothing was written; choose "
            "bfloat16 or float32, which hold larger numbers than float16."
        )
        raise ConvertError(message)
    return Certificate(**asdict(compare(wanted, found)), seed=seed)


def random_tokens(sizes: Sizes, count: int, seed: int) -> np.ndarray:
    """`count` random token ids, int64, but no more than the model has positions for."""
    count = min(count, sizes.max_positions or count)
    return np.random.default_rng(seed).integers(0, sizes.vocab, count)


def plain_logits(spec: FamilySpec, sizes: Sizes, source: Source, ids: np.ndarray) -> np.ndarray:
    """Logits float32 [T, V] of ids [T] without an answer in them: second positions are 0."""
    count = np.arange(len(ids))
    return forward(spec, sizes, source, ids, positions=np.stack([count, np.zeros_like(count)]))


def streamed(
    model: Model, weight: Callable[[ParameterKey], Any] | None = None
) -> Callable[[ParameterKey], Any]:
    """`weight`, or the model's own weights, each released when the next one is asked for."""
    last: list[ParameterKey] = []
    read = model.weight if weight is None else weight

    def released_behind(key: ParameterKey) -> Any:
        if last:
            model.release(last.pop())
        last.append(key)
        return read(key)

    return released_behind


def write_certificate(folder: Path, content: dict[str, Any]) -> None:
    """Write certificate.json."""
    with written_file(folder / CERTIFICATE_FILE) as stream:
        stream.write((json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def said(certificate: Certificate) -> str:
    """The certificate in a sentence."""
    return (
        f"Certificate over {certificate.tokens} random tokens: logits differ by at most "
        f"{certificate.max_abs_diff:.2g} (the largest is {certificate.max_abs_logit:.2g}), KL "
        f"{certificate.mean_kl:.2g} nats, top-1 agreement {certificate.top1_agreement:.1%}."
    )
