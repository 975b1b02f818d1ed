"""Worker processes, each driven by one thread of the parent; no more than one block each at a time.

Processes, because JSON parsing and the copying of ids hold Python's lock; started afresh and not
forked, because a forked tokenizer library can deadlock; on pipes of their own, so that they end
when the parent does, however it ends.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

from llm_data.errors import DataError
from llm_data.sources import Block
from llm_data.tokenize.block_tokenizer import Job
from llm_data.tokenize.parts import Part


class WorkerPool:
    """Tokenizes blocks in several processes; a process starts when there is work for it."""

    def __init__(self, job: Job, workers: int) -> None:
        self._job = job
        self._workers = workers
        self._idle: list[subprocess.Popen[bytes]] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            if kind is not None:
                process.kill()
            elif process.stdin is not None:
                process.stdin.close()
        self._threads.shutdown(wait=True)
        for process in self.processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                # What a dead process did not read any more is of no use now.
                with contextlib.suppress(BrokenPipeError):
                    if pipe is not None:
                        pipe.close()

    def run(self, blocks: Iterable[Block]) -> Iterator[Part]:
        """Parts of the blocks, in the order in which they are done."""
        running: set[Future[Part]] = set()
        for block in blocks:
            process = self._idle.pop() if self._idle else self._start()
            running.add(self._threads.submit(self._ask, process, block))
            if len(running) == self._workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        for future in running:
            yield future.result()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "llm_data.tokenize.worker"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.processes.append(process)
        self._send(process, self._job)
        return process

    def _ask(self, process: subprocess.Popen[bytes], block: Block) -> Part:
        self._send(process, block)
        assert process.stdout is not None
        try:
            answer = pickle.load(process.stdout)
        except EOFError:
            raise self._died(process) from None
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Part)
        self._idle.append(process)
        return answer

    def _send(self, process: subprocess.Popen[bytes], message: Any) -> None:
        assert process.stdin is not None
        try:
            pickle.dump(message, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._died(process) from None

    def _died(self, process: subprocess.Popen[bytes]) -> DataError:
        code = process.wait()
        cause = "killed, probably for want of memory" if code == -9 else f"exit code {code}"
        message = (
            f"A tokenizing process ended ({cause}). Finished parts are kept: run the same command "
            f"again, with fewer than {self._workers} --workers if memory is short."
        )
        return DataError(message)
