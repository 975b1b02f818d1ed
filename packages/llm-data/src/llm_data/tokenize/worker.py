"""One process that tokenizes: blocks come in on standard input, counts go out on standard output.

    python -m llm_data.tokenize.worker

The messages are pickles between our own two processes. The process ends when its input does, so
it never outlives a parent that was killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback

from llm_data.tokenize.block_tokenizer import BlockTokenizer, Job


def main() -> None:
    """Serve the parent until it closes the pipe."""
    # Ctrl-C reaches the whole group; the parent decides what to do and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The processes share the cores already; threads inside each would only get in the way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tokenizer: BlockTokenizer | None = None
    while True:
        try:
            message = pickle.load(sys.stdin.buffer)
        except (EOFError, pickle.UnpicklingError):
            # The parent has ended, perhaps in the middle of a message.
            return
        try:
            if isinstance(message, Job):
                tokenizer = BlockTokenizer(message)
                continue
            assert tokenizer is not None
            answer: object = tokenizer.run(message)
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = error
        try:
            pickle.dump(answer, answers)
            answers.flush()
        except BrokenPipeError:
            # The parent was killed. An ordinary end would try to write the answer once more.
            os._exit(1)


if __name__ == "__main__":
    main()
