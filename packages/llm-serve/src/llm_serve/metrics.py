"""Counters and gauges in the Prometheus text format.

Names start with `llm_serve_`; times are in seconds. Each server has a registry of its own, so that
several can live in one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from llm_serve.generation import Generation
    from llm_serve.state import ServerState

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """What is counted while the server runs."""

    def __init__(self, state: ServerState) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Gauges(state))
        self._requests = Counter(
            "llm_serve_requests",
            "HTTP requests answered, by path and status; 499: the client left first.",
            ("path", "status"),
            registry=self.registry,
        )
        self._prompt_tokens = Counter(
            "llm_serve_prompt_tokens", "Tokens of prompts.", registry=self.registry
        )
        self._answer_tokens = Counter(
            "llm_serve_generated_tokens", "Tokens generated.", registry=self.registry
        )
        self._first_token = Histogram(
            "llm_serve_time_to_first_token_seconds",
            "From the start of a request to its first token.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._duration = Histogram(
            "llm_serve_generation_seconds",
            "From the start of a request to its last token.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def answered(self, path: str, status: int) -> None:
        """Count one HTTP answer."""
        self._requests.labels(path=path, status=str(status)).inc()

    def finished(self, generation: Generation) -> None:
        """Count the tokens and seconds of a generation that ended, for whatever reason."""
        self._prompt_tokens.inc(generation.usage.prompt_tokens)
        self._answer_tokens.inc(generation.usage.completion_tokens)
        if generation.first_token_seconds is not None:
            self._first_token.observe(generation.first_token_seconds)
        self._duration.observe(generation.seconds())

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    """Values that are read when they are asked for."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "llm_serve_ready",
            "1 while the server answers, else 0.",
            value=float(self._state.phase == "ready"),
        )
        yield GaugeMetricFamily(
            "llm_serve_sequences_in_flight",
            "Sequences that clients are waiting for.",
            value=self._state.in_flight,
        )
        if self._state.loaded is None:
            return
        engine = self._state.loaded.engine.stats()
        sequences = GaugeMetricFamily(
            "llm_serve_engine_sequences", "Sequences in the engine.", labels=["state"]
        )
        sequences.add_metric(["running"], engine.running)
        sequences.add_metric(["waiting"], engine.waiting)
        yield sequences
        blocks = GaugeMetricFamily("llm_serve_kv_blocks", "KV cache blocks.", labels=["state"])
        blocks.add_metric(["used"], engine.num_blocks - engine.free_blocks)
        blocks.add_metric(["free"], engine.free_blocks)
        yield blocks
        yield CounterMetricFamily(
            "llm_serve_engine_preemptions",
            "Sequences that gave up their blocks for others and were computed again.",
            value=engine.preemptions,
        )
