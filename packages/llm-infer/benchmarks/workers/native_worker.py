"""This project's engine as a worker: native_worker.py MODEL THREADS QUANT_TYPE DTYPE."""

from __future__ import annotations

import random
import sys
import time

from protocol import Figure, serve

from llm_infer.engine import SamplingParams
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.session import open_engine

SEQUENCES, LENGTH = 32, 2304


def main() -> None:
    """Open the engine, answer until stdin ends."""
    model, threads, quant_type, dtype = sys.argv[1:]
    options = PredictOptions(
        model_name_or_path=model,
        threads=int(threads),
        quant_type=quant_type or None,
        dtype=dtype,
        chat_template="none",
        num_blocks=SEQUENCES * 4 + LENGTH // 64,
        max_length=LENGTH,
        data_file="-",
    )
    engine = open_engine(options, SEQUENCES, LENGTH)
    vocabulary = engine.limits.vocab_size

    def measure(figure: Figure) -> float:
        params = SamplingParams(max_new_tokens=figure.steps + 1, ignore_eos=True)
        prompts = [
            [random.randrange(vocabulary) for _ in range(figure.context)]
            for _ in range(figure.batch)
        ]
        start = time.perf_counter()
        waiting = {engine.add_request(prompt, params) for prompt in prompts}
        first = start
        while engine.has_work:
            seen = {event.request_id for event in engine.step()}
            if waiting and not (waiting := waiting - seen):
                first = time.perf_counter()
        end = time.perf_counter()
        return end - first if figure.steps else first - start

    serve(measure)


if __name__ == "__main__":
    main()
