"""Continuous batching over a paged KV cache: request -> scheduler -> batch -> step -> sampler.

`Engine(runner, limits)` takes any `StepRunner`; `llm_infer.load.load_engine` makes one from a model
folder. The layers talk through small dataclasses: the scheduler never sees a tensor, the decoder
never sees a request.
"""

from __future__ import annotations

from llm_infer.engine.batch import StepRunner
from llm_infer.engine.engine import Engine
from llm_infer.engine.events import FinishReason, TokenEvent
from llm_infer.engine.limits import EngineLimits, EngineStats
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.positions import PrefixLayout
from llm_infer.engine.prefixes import TunedPrefix
from llm_infer.engine.sampling import Logprobs
from llm_infer.engine.stream import Stream

__all__ = [
    "Engine",
    "EngineLimits",
    "EngineStats",
    "FinishReason",
    "Logprobs",
    "PrefixLayout",
    "SamplingParams",
    "StepRunner",
    "Stream",
    "TokenEvent",
    "TunedPrefix",
]
