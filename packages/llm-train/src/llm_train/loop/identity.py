"""What a resumed run must have in common with the run that wrote its checkpoint.

Paths say little: a folder can hold another model tomorrow. So the starting weights and the samples
themselves are looked at, a few numbers of each. It tells runs apart; it proves nothing beyond that.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from llm_train.errors import ResumeError
from llm_train.loop.data import TrainingData
from llm_train.loop.precision import FULL, Precision
from llm_train.model.shares import gathered, held_parameters, turned
from llm_train.model.spec_model import SpecForCausalLM
from llm_train.parallel.collectives import gathered_objects
from llm_train.parallel.groups import Parallel
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)
SAMPLES = 64
"""Samples of an epoch that are looked at, spread over it."""
_NUMBERS = 16
_MAY_CHANGE = (
    "max_steps",
    "num_train_epochs",
    "learning_rate",
    "min_learning_rate",
    "lr_scheduler_type",
    "warmup_steps",
    "warmup_ratio",
    "decay_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
)


def run_identity(
    model: nn.Layer,
    options: TrainingOptions,
    data: TrainingData,
    batch: int,
    parallel: Parallel | None = None,
    precision: Precision = FULL,
) -> dict[str, Any]:
    """The run's order of samples, starting weights, samples, options and numbers, for run.json.

    It is the same for every layout of processes; all of them call it.
    """
    return {
        "batch_size": batch,
        "epoch_samples": data.epoch_samples,
        "seed": options.seed,
        "model": model_digest(model, parallel),
        "samples": sample_digests(data),
        "options": {name: getattr(options, name) for name in _MAY_CHANGE},
        "precision": str(precision),
    }


def model_digest(model: nn.Layer, parallel: Parallel | None = None) -> str:
    """SHA-256 over every parameter's name, shape, whether it is trained, and 16 of its numbers."""
    digests = [
        _parameter_digest(name, parameter, parameter.stop_gradient)
        for name, parameter in whole_parameters(model, parallel)
    ]
    if parallel is not None:
        digests = list({digest for own in gathered_objects(digests) for digest in own})
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def whole_parameters(
    model: nn.Layer, parallel: Parallel | None
) -> Iterator[tuple[str, paddle.Tensor]]:
    """Name and whole value of the parameters that this process has anything of."""
    if parallel is None or not isinstance(model, SpecForCausalLM):
        yield from model.named_parameters()
        return
    for key, parameter in held_parameters(model):
        array = turned(key, gathered(key, parameter.detach(), parameter, parallel.tensor))
        whole = paddle.to_tensor(array, stop_gradient=parameter.stop_gradient)
        yield f"decoder.{key.name}", whole


def _parameter_digest(name: str, whole: paddle.Tensor, frozen: bool) -> str:
    shape = list(whole.shape)
    places = np.linspace(0, whole.size - 1, _NUMBERS).astype(np.int64)
    index = np.stack(np.unravel_index(places, shape), axis=-1)
    with paddle.no_grad():
        numbers = paddle.gather_nd(whole, paddle.to_tensor(index))
    digest = hashlib.sha256(f"{name}\0{shape}\0{frozen}\0".encode())
    digest.update(numbers.astype("float32").numpy().tobytes())
    return digest.hexdigest()


def sample_digests(data: TrainingData) -> dict[str, str]:
    """Place -> SHA-256 of some samples; the places depend on the length of an epoch alone."""
    places = np.linspace(0, data.epoch_samples - 1, SAMPLES).astype(np.int64).tolist()
    return {str(i): _sample_digest(data.train[i]) for i in dict.fromkeys(places) if _has(data, i)}


def _has(data: TrainingData, place: int) -> bool:
    return place < len(data.train)


def _sample_digest(sample: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(sample):
        array = np.asarray(sample[name])
        digest.update(f"{name}\0{array.shape}\0".encode())
        digest.update(array.astype(np.int64).tobytes())
    return digest.hexdigest()[:16]


def check_same_run(resume: Path, written: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise ResumeError where checkpoint `resume`, whose run.json is `written`, is of another run.

    A schedule or optimizer option that differs is allowed, and said in the log.
    """
    for name in ("batch_size", "epoch_samples", "seed"):
        if written.get(name) != identity[name]:
            message = (
                f"{resume} was written with {name} {written.get(name)}, this run has "
                f"{identity[name]}: it would not read the same samples. {_REMEDY}"
            )
            raise ResumeError(message)
    if written.get("model") != identity["model"]:
        message = (
            f"{resume} was written by a run that began with another model: weights, shapes or "
            f"trained parameters differ. {_REMEDY}"
        )
        raise ResumeError(message)
    _same_samples(resume, written.get("samples", {}), identity["samples"])
    for name, value in identity["options"].items():
        before = written.get("options", {}).get(name)
        if before != value:
            logger.warning("%s was written with %s %s; now it is %s.", resume, name, before, value)
    before = written.get("precision", str(FULL))
    if before != identity["precision"]:
        now = identity["precision"]
        logger.warning("%s was written in %s; this run goes on in %s.", resume, before, now)


_REMEDY = "Use the same model, data and options, or start anew with --overwrite_output_dir true."


def _same_samples(resume: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    # A run over fewer steps may hold fewer samples; those that both hold must agree.
    common = before.keys() & now.keys()
    others = sorted((place for place in common if before[place] != now[place]), key=int)
    if others or not common:
        message = (
            f"{resume} was written by a run over other data: sample {others[0] if others else 0} "
            f"differs (text, tokenizer or length of the samples changed). {_REMEDY}"
        )
        raise ResumeError(message)
