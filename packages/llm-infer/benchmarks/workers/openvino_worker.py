"""OpenVINO GenAI as a worker: openvino_worker.py MODEL THREADS.

Of one sequence the library's own time per token counts; of several, what it says of every step
behind the first, which reads the prompts. (The difference of two runs is lost in their noise.)
"""

from __future__ import annotations

import sys
import time

import numpy as np
import openvino
import openvino_genai
from protocol import Figure, serve

LEAST_STEPS = 64


def main() -> None:
    """Open the pipeline, answer until stdin ends."""
    folder, threads = sys.argv[1:]
    properties = {"INFERENCE_NUM_THREADS": int(threads), "PERFORMANCE_HINT": "LATENCY"}
    pipeline = openvino_genai.LLMPipeline(folder, "CPU", **properties)
    random = np.random.default_rng()

    def generate(figure: Figure, new_tokens: int) -> tuple[float, openvino_genai.PerfMetrics]:
        shape = (figure.batch, figure.context)
        tokens = random.integers(300, 31000, shape, dtype=np.int64)
        inputs = openvino_genai.TokenizedInputs(
            openvino.Tensor(tokens), openvino.Tensor(np.ones(shape, np.int64))
        )
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = new_tokens
        config.ignore_eos = True
        config.do_sample = False
        config.apply_chat_template = False
        start = time.perf_counter()
        result = pipeline.generate(inputs, config)
        seconds = time.perf_counter() - start
        return seconds, result.perf_metrics

    def measure(figure: Figure) -> float:
        if not figure.steps:
            return generate(figure, 1)[0]
        if figure.batch == 1:
            metrics = generate(figure, max(figure.steps, LEAST_STEPS) + 1)[1]
            return metrics.get_tpot().mean / 1e3 * figure.steps
        steps = generate(figure, figure.steps + 1)[1].raw_metrics.token_infer_durations
        return sum(steps[1 : figure.steps + 1]) / 1e6

    serve(measure)


if __name__ == "__main__":
    main()
