"""llama.cpp through libllama's C interface as a worker: llama_cpp_worker.py MODEL.gguf THREADS."""

from __future__ import annotations

import ctypes
import random
import sys
import time
from typing import Any

import llama_cpp
from protocol import Figure, serve

LENGTH, BATCH, MICRO_BATCH = 2304, 2048, 512
VOCABULARY = 31000


@llama_cpp.llama_log_callback
def quiet(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """llama.cpp's log, not printed."""


class LlamaCpp:
    """A model with one context for each number of sequences."""

    def __init__(self, path: str, threads: int) -> None:
        llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.threads = threads
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
        if not self.model:
            msg = f"llama.cpp does not load {path}."
            raise SystemExit(msg)
        self.batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self.contexts: dict[tuple[int, int], Any] = {}
        self.read: dict[int, int] = {}  # tokens of every sequence, by their number

    def context(self, length: int, sequences: int) -> Any:
        """A context of `sequences` sequences of `length` tokens."""
        if (length, sequences) not in self.contexts:
            chosen = llama_cpp.llama_context_default_params()
            chosen.n_ctx = length * sequences
            chosen.n_batch, chosen.n_ubatch = BATCH, MICRO_BATCH
            chosen.n_threads = chosen.n_threads_batch = self.threads
            chosen.n_seq_max = sequences
            chosen.kv_unified = True
            made = llama_cpp.llama_init_from_model(self.model, chosen)
            self.contexts[length, sequences] = made
        return self.contexts[length, sequences]

    def decode(self, context: Any, rows: list[tuple[int, int, bool]]) -> None:
        """One call with rows of (position, sequence, whether its logits are wanted)."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for i, (position, sequence, wanted) in enumerate(rows):
            batch.token[i] = random.randrange(300, VOCABULARY)
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wanted
        if llama_cpp.llama_decode(context, batch) != 0:
            msg = "llama_decode failed"
            raise RuntimeError(msg)
        llama_cpp.llama_get_logits_ith(context, len(rows) - 1)

    def measure(self, figure: Figure) -> float:
        """Seconds of the figure. What precedes its steps is read once and kept."""
        length = LENGTH if figure.batch == 1 else figure.context + figure.steps + 1
        context = self.context(length, figure.batch)
        memory = llama_cpp.llama_get_memory(context)
        if not figure.steps or self.read.get(figure.batch) != figure.context:
            llama_cpp.llama_memory_clear(memory, False)
            start = time.perf_counter()
            for sequence in range(figure.batch):
                last = figure.context - 1
                self.decode(context, [(i, sequence, i == last) for i in range(figure.context)])
            seconds = time.perf_counter() - start
            self.read[figure.batch] = figure.context
        if figure.steps:
            start = time.perf_counter()
            for position in range(figure.context, figure.context + figure.steps):
                self.decode(context, [(position, s, True) for s in range(figure.batch)])
            seconds = time.perf_counter() - start
            for sequence in range(figure.batch):
                llama_cpp.llama_memory_seq_rm(memory, sequence, figure.context, -1)
        return seconds


def main() -> None:
    """Load the model, answer until stdin ends."""
    path, threads = sys.argv[1:]
    serve(LlamaCpp(path, int(threads)).measure)


if __name__ == "__main__":
    main()
