"""What a run shows while it runs: metrics.jsonl, the progress line, and at the end loss.png.

metrics.jsonl has one object a line. Training: step, loss (nats a token, mean since the line
before), learning_rate, tokens (real ones, since the start), tokens_per_s, mfu (share of the speed
of a large product on this machine), memory_mb, elapsed, epoch. Evaluation: step, eval_loss,
eval_ppl, eval_accuracy, eval_tokens.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_cli.outputs import written_file
from llm_cli.progress import Progress
from llm_train.loop.writers import Writer, scalars

if TYPE_CHECKING:
    from llm_train.loop.flops import Work

METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True)
class _Moment:
    """A second of the clock, pauses taken off, and the tokens that were trained on until then."""

    at: float
    tokens: int


class Watch:
    """Counts and writes for one run; `start` is the step it begins at.

    `state` is what `state()` gave at that step, so that a resumed run writes the same lines.
    `writes` false: it only counts, another process writes.
    """

    def __init__(
        self,
        output_dir: Path,
        bar: Progress,
        start: int,
        state: Mapping[str, Any] | None = None,
        *,
        writes: bool = True,
    ) -> None:
        before = state or {}
        self.path = output_dir / METRICS_FILE
        self.bar = bar
        self.tokens = int(before.get("tokens", 0))
        self._elapsed_before = float(before.get("elapsed", 0.0))
        self._loss_sum = float(before.get("loss_sum", 0.0))
        self._loss_steps = int(before.get("loss_steps", 0))
        self._began = self._marked = time.monotonic()
        self._tokens_marked = self.tokens
        self._paused = self._paused_whole = 0.0
        self._tokens_before = self.tokens
        self._first: _Moment | None = None
        self._last: _Moment | None = None
        self._notes: dict[str, str] = {}
        self.writers: Sequence[Writer] = ()
        """Told every line as well."""
        self.work: Work | None = None
        """What the figure `mfu` is made of; None: there is none."""
        self._samples = self._rows = 0
        self._writes = writes
        if writes:
            _keep_until(self.path, start)
        if start:
            bar.resume_at(start)

    def state(self) -> dict[str, float]:
        """What a run that is resumed here must know: tokens, seconds, losses not yet written."""
        return {
            "tokens": self.tokens,
            "elapsed": self._elapsed(time.monotonic()),
            "loss_sum": self._loss_sum,
            "loss_steps": self._loss_steps,
        }

    def stepped(self, tokens: int, loss: float, samples: int = 0) -> None:
        """One step over `tokens` real tokens of `samples` rows, of mean `loss`, is done."""
        self.tokens += tokens
        self._last = _Moment(time.monotonic() - self._paused_whole, self.tokens)
        self._first = self._first or self._last
        self._samples += samples
        self._rows += samples
        self._loss_sum += loss
        self._loss_steps += 1
        self.bar.advance(1)

    def trained(self, step: int, rate: float, epoch: float) -> None:
        """Write a line of training: mean loss since the last one, at learning rate `rate`."""
        if not self._loss_steps:
            return
        loss = round(self._loss_sum / self._loss_steps, 8)
        self._loss_sum, self._loss_steps = 0.0, 0
        now = time.monotonic()
        seconds = max(now - self._marked - self._paused, 1e-9)
        tokens, samples = self.tokens - self._tokens_marked, self._samples
        speed = tokens / seconds
        self._marked, self._tokens_marked, self._paused = now, self.tokens, 0.0
        self._samples = 0
        used = self._used(speed, tokens / samples) if samples else None
        self._write(
            step=step,
            loss=loss,
            learning_rate=rate,
            tokens=self.tokens,
            tokens_per_s=round(speed, 1),
            **({} if used is None else {"mfu": float(f"{used:.3g}")}),
            memory_mb=round(self.memory / 2**20),
            elapsed=round(self._elapsed(now), 3),
            epoch=round(epoch, 4),
        )
        share = "" if used is None else f", {100 * used:.0f} % of a large product's speed"
        self._note(train=f"loss {loss:.3f}, {speed:,.0f} tokens/s{share}")

    def evaluated(self, step: int, metrics: dict[str, float], seconds: float) -> None:
        """Write a line of evaluation that took `seconds`; they do not count for the speed."""
        self.paused(seconds)
        self._write(step=step, **metrics)
        if "eval_loss" in metrics:
            self._note(valid=f"held out {metrics['eval_loss']:.3f}")

    def paused(self, seconds: float) -> None:
        """Time that was not spent on training, such as writing a checkpoint."""
        self._paused += seconds
        self._paused_whole += seconds

    @property
    def speed(self) -> float:
        """Real tokens a second of this run's steps but the first, which finds everything cold.

        Evaluations and checkpoints are left out. A single step counts from the run's begin.
        """
        begin = _Moment(self._began, self._tokens_before)
        last = self._last or begin
        if self._first is not None and self._first is not self._last:
            begin = self._first
        return (last.tokens - begin.tokens) / max(last.at - begin.at, 1e-9)

    @property
    def length(self) -> float | None:
        """Mean real tokens of this run's rows; None where they were not counted."""
        return (self.tokens - self._tokens_before) / self._rows if self._rows else None

    @property
    def memory(self) -> int:
        """Bytes that this process held at most."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def close(self) -> None:
        """Close the writers."""
        for writer in self.writers:
            writer.close()

    def _used(self, speed: float, length: float) -> float | None:
        """The share of the peak, which rises where a run shows that it was measured too low."""
        if self.work is None:
            return None
        if self.work.share(speed, length) > 1:
            self.work = self.work.raised(speed, length)
        return self.work.share(speed, length)

    def _elapsed(self, now: float) -> float:
        return self._elapsed_before + now - self._began

    def _note(self, **parts: str) -> None:
        self._notes |= parts
        self.bar.note(", ".join(self._notes.values()))

    def _write(self, **values: Any) -> None:
        if not self._writes:
            return
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")
        for writer in self.writers:
            writer.add(values["step"], scalars(values))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl up to one that was cut off; none where the file is absent."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows


def _keep_until(path: Path, step: int) -> None:
    """Keep the lines up to `step`: an earlier run went further."""
    rows = [row for row in read_metrics(path) if row["step"] <= step] if step else []
    with written_file(path) as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())
