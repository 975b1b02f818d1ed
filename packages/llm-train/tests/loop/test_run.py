"""Whole runs: learning, exact resume, crashes, disks that fill up."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from llm_cli.outputs import is_complete
from llm_convert.model import open_model
from llm_train.errors import BatchError, DivergedError, RecipeError, ResumeError
from llm_train.loop import TrainingData, run_training
from llm_train.model import FullModelFiles, build_model


def test_a_run_learns_and_leaves_a_whole_model(trained: Callable[..., Any], repeating: Any) -> None:
    run = trained(max_steps=60, logging_steps=10, eval_steps=30, do_eval=True, save_steps=100)
    result = run.go(repeating(64), repeating(8))
    assert is_complete(run.output)
    assert (run.output / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert result.metrics["eval_loss"] < 1.0 < math.log(61)
    evaluated = [row for row in run.metrics() if "eval_loss" in row]
    assert [row["step"] for row in evaluated] == [0, 30, 60]
    assert evaluated[0]["eval_loss"] == pytest.approx(math.log(61), rel=0.05)
    assert json.loads((run.output / "llm.json").read_text())["command"] == "llm train pretrain"
    model = open_model(run.output)
    assert (model.naming, model.spec.name) == ("paddlenlp", "llama")


def test_the_written_model_computes_what_was_trained(
    trained: Callable[..., Any], repeating: Any
) -> None:
    run = trained(max_steps=3, save_steps=100)
    model = build_model(run.config, continue_training=False, seed=5)
    data = TrainingData(
        repeating(16), lambda rows: {k: np.stack([r[k] for r in rows]) for k in rows[0]}
    )
    run_training(model, run.options(), data, FullModelFiles(model), command="train pretrain")
    tokens = paddle.to_tensor([[3, 1, 4, 1, 5]])
    model.eval()
    again = build_model(run.output)
    again.eval()
    assert np.array_equal(model(tokens).numpy(), again(tokens).numpy())


def test_an_interrupted_run_goes_on_with_the_same_losses_and_weights(
    trained: Callable[..., Any], repeating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole = trained("whole")
    whole.go(repeating(20))
    broken = trained("broken")
    with pytest.raises(KeyboardInterrupt):
        broken.go(repeating(20, interrupt_at=8 * 4))
    assert broken.checkpoints() == ["checkpoint-5"]
    assert max(broken.losses()) >= 6
    with caplog.at_level("INFO"):
        broken.go(repeating(20))
    assert "Going on at" in caplog.text
    assert broken.losses() == whole.losses()
    assert broken.weights() == whole.weights()
    tokens = [
        [row["tokens"] for row in run.metrics() if "tokens" in row] for run in (broken, whole)
    ]
    assert tokens[0] == tokens[1]


def test_a_half_written_checkpoint_is_passed_over_with_a_line(
    trained: Callable[..., Any], repeating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"max_steps": 10, "save_steps": 4, "lr_scheduler_type": "constant"}
    whole, broken = trained("whole", **settings), trained("broken", **settings)
    whole.go(repeating(20))
    with pytest.raises(KeyboardInterrupt):
        broken.go(repeating(20, interrupt_at=9 * 4))
    damaged = broken.output / "checkpoint-8" / "optimizer.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x00")
    caplog.clear()
    with pytest.raises(KeyboardInterrupt):
        broken.go(repeating(20, interrupt_at=5 * 4))
    assert "checkpoint-8 is damaged (optimizer.safetensors)" in caplog.text
    (broken.output / "checkpoint-8" / "COMPLETE").unlink()
    caplog.clear()
    broken.go(repeating(20))
    assert "checkpoint-8 is not complete" in caplog.text
    assert broken.weights() == whole.weights()


def test_a_full_disk_ends_the_run_and_the_checkpoint_before_resumes(
    trained: Callable[..., Any], repeating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained("whole")
    whole.go(repeating(20))
    run = trained("full")
    write = FullModelFiles.save

    def full(self: FullModelFiles, folder: Path) -> None:
        write(self, folder)
        if "checkpoint-10" in folder.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(FullModelFiles, "save", full)
    with pytest.raises(OSError, match="No space left") as raised:
        run.go(repeating(20))
    assert raised.value.errno == errno.ENOSPC
    assert sorted(path.name for path in run.output.iterdir()) == ["checkpoint-5", "metrics.jsonl"]
    monkeypatch.undo()
    run.go(repeating(20))
    assert run.weights() == whole.weights()


def test_what_a_killed_writer_left_is_removed(
    trained: Callable[..., Any], repeating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = trained(max_steps=2)
    left = run.output / ".checkpoint-5.ab12.tmp"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    run.go(repeating(8))
    assert not left.exists()
    assert "left by an interrupted run" in caplog.text


def test_the_loss_does_not_depend_on_how_a_step_is_cut(
    trained: Callable[..., Any], repeating: Any
) -> None:
    """Rows of very different numbers of labels, in micro-batches of 1, 2 and 4."""

    class Uneven(repeating):  # type: ignore[misc]
        def __getitem__(self, index: int) -> dict[str, np.ndarray]:
            sample = super().__getitem__(index)
            labels = sample["labels"].copy()
            labels[: (index * 5) % 12] = -100
            return {**sample, "labels": labels}

    found = []
    for size in (1, 2, 4):
        run = trained(f"cut{size}", max_steps=6)
        run.go(Uneven(24), per_device_train_batch_size=size, gradient_accumulation_steps=4 // size)
        found.append((list(run.losses().values()), np.frombuffer(run.weights()[2000:], "<f4")))
    for losses, weights in found[1:]:
        np.testing.assert_allclose(losses, found[0][0], atol=2e-6)
        # Adam's first steps divide tiny gradients by their own size.
        np.testing.assert_allclose(weights, found[0][1], atol=2e-3)


def test_a_step_without_a_trained_token_stops_with_the_reason(
    trained: Callable[..., Any], repeating: Any
) -> None:
    samples = repeating(8)

    class Silent(repeating):  # type: ignore[misc]
        def __getitem__(self, index: int) -> dict[str, np.ndarray]:
            return {**super().__getitem__(index), "labels": np.full(12, -100)}

    with pytest.raises(BatchError, match=r"Step 1: none of the tokens of its 4 samples"):
        trained().go(Silent(len(samples)))


def test_a_loss_that_is_no_number_stops_the_run(
    trained: Callable[..., Any], repeating: Any
) -> None:
    with pytest.raises(DivergedError, match="--learning_rate"):
        trained().go(repeating(8), learning_rate=1e30, warmup_steps=0, max_grad_norm=0.0)


def test_old_checkpoints_go_but_never_the_last(trained: Callable[..., Any], repeating: Any) -> None:
    run = trained(save_steps=2, save_total_limit=2, max_steps=9)
    run.go(repeating(20))
    assert run.checkpoints() == ["checkpoint-6", "checkpoint-8"]


def test_the_best_checkpoint_is_kept_and_is_what_the_run_ends_with(
    trained: Callable[..., Any], repeating: Any
) -> None:
    """The highest loss is called best here, so that it is not the last one."""
    run = trained(
        max_steps=8, save_steps=2, save_total_limit=1, do_eval=True, eval_steps=4,
        load_best_model_at_end=True, greater_is_better=True,
    )  # fmt: skip
    result = run.go(repeating(20), repeating(4))
    by_step = {row["step"]: row["eval_loss"] for row in run.metrics()[:-1] if "eval_loss" in row}
    assert by_step[2] == max(by_step[step] for step in (2, 4, 6, 8))
    assert run.checkpoints() == ["checkpoint-2", "checkpoint-8"]
    assert result.metrics["eval_loss"] == pytest.approx(by_step[2], abs=1e-6)
    assert build_model(run.output).spec.name == "llama"


@pytest.mark.parametrize("saves", ["no", "steps"])
def test_a_finished_model_is_not_overwritten_unasked(
    trained: Callable[..., Any], repeating: Any, saves: str
) -> None:
    run = trained(max_steps=2, save_strategy=saves, save_steps=1)
    run.go(repeating(8))
    before = run.weights()
    for changes in ({}, {"learning_rate": 0.5}, {"max_steps": 4}, {"weights": 6}):
        with pytest.raises(RecipeError, match="--overwrite_output_dir"):
            run.go(repeating(8), **changes)
    assert run.weights() == before
    run.go(repeating(8), max_steps=3, overwrite_output_dir=True)
    assert run.weights() != before
    assert is_complete(run.output)


def test_another_tools_model_is_not_overwritten_unasked(
    trained: Callable[..., Any], repeating: Any
) -> None:
    run = trained(max_steps=1)
    run.output.mkdir()
    (run.output / "config.json").write_text("{}")
    with pytest.raises(RecipeError, match="did not write"):
        run.go(repeating(8))
    assert (run.output / "config.json").read_text() == "{}"


def stopped(run: Any, samples: Any) -> Any:
    """The run, stopped in its seventh step: checkpoint-5 is there."""
    with pytest.raises(KeyboardInterrupt):
        run.go(samples)
    assert run.checkpoints() == ["checkpoint-5"]
    return run


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"weights": 6}, "began with another model"),
        ({"seed": 4}, "with seed 3, this run has 4"),
        ({"per_device_train_batch_size": 2}, "with batch_size 4, this run has 2"),
        ({"max_steps": 4}, "1 steps beyond this run's 4"),
    ],
    ids=str,
)
def test_another_run_cannot_go_on_with_a_checkpoint(
    trained: Callable[..., Any], repeating: Any, changes: dict[str, Any], reason: str
) -> None:
    run = stopped(trained(), repeating(20, interrupt_at=6 * 4))
    with pytest.raises(ResumeError, match=reason):
        run.go(repeating(20), **changes)
    assert run.checkpoints() == ["checkpoint-5"]


def test_other_data_cannot_go_on_with_a_checkpoint(
    trained: Callable[..., Any], repeating: Any
) -> None:
    run = stopped(trained(), repeating(20, interrupt_at=6 * 4))
    with pytest.raises(ResumeError, match=r"epoch_samples 20, this run has 21"):
        run.go(repeating(21))
    others = repeating(20)
    others.rows[7, 3] = (others.rows[7, 3] + 1) % 61
    with pytest.raises(ResumeError, match="over other data: sample 7 differs"):
        run.go(others)


def test_another_learning_rate_goes_on_with_a_line(
    trained: Callable[..., Any], repeating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = stopped(trained(), repeating(20, interrupt_at=6 * 4))
    run.go(repeating(20), learning_rate=0.003)
    assert "with learning_rate 0.01; now it is 0.003" in caplog.text


def test_an_abandoned_branch_does_not_win_the_next_resume(
    trained: Callable[..., Any], repeating: Any
) -> None:
    """Checkpoints 3, 6 and 9 at one learning rate; from 3 on at another, killed before 6."""
    run = trained(save_steps=3)
    with pytest.raises(KeyboardInterrupt):
        run.go(repeating(20, interrupt_at=10 * 4))
    assert run.checkpoints() == ["checkpoint-3", "checkpoint-6", "checkpoint-9"]
    changes = {"learning_rate": 0.003, "save_steps": 4}
    with pytest.raises(KeyboardInterrupt):
        run.go(
            repeating(20, interrupt_at=2 * 4),
            resume_from_checkpoint=str(run.output / "checkpoint-3"),
            **changes,
        )
    assert run.checkpoints() == ["checkpoint-3", "checkpoint-4"]
    run.go(repeating(20), **changes)
    straight = trained("straight")
    with pytest.raises(KeyboardInterrupt):
        straight.go(repeating(20, interrupt_at=4 * 4), save_steps=3)
    straight.go(repeating(20), **changes)
    assert run.losses() == straight.losses()
    assert run.weights() == straight.weights()


def test_lines_between_two_checkpoints_are_those_of_the_whole_run(
    trained: Callable[..., Any], repeating: Any
) -> None:
    settings = {"logging_steps": 4, "save_steps": 3}
    whole, broken = trained("whole", **settings), trained("broken", **settings)
    whole.go(repeating(20))
    with pytest.raises(KeyboardInterrupt):
        broken.go(repeating(20, interrupt_at=7 * 4))
    broken.go(repeating(20))
    keys = ("step", "loss", "tokens", "epoch", "learning_rate")
    assert [[row[key] for key in keys] for row in broken.metrics()] == [
        [row[key] for key in keys] for row in whole.metrics()
    ]
    elapsed = [row["elapsed"] for row in broken.metrics()]
    assert elapsed == sorted(elapsed)


def test_the_model_in_memory_is_kept_when_it_is_the_best(
    trained: Callable[..., Any], repeating: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Eight steps, a checkpoint only at five: the last step is better and is what stays."""
    caplog.set_level("INFO")
    run = trained(max_steps=8, do_eval=True, eval_steps=5, load_best_model_at_end=True)
    result = run.go(repeating(20), repeating(4))
    best = min(row["eval_loss"] for row in run.metrics() if "eval_loss" in row)
    assert f"evaluated best (eval_loss {best:.4g})" in caplog.text
    assert "at the pace of this machine" in caplog.text
    assert result.metrics["eval_loss"] == pytest.approx(best, abs=1e-6)
    assert run.checkpoints() == ["checkpoint-5", "checkpoint-8"]


def test_the_best_checkpoint_is_found_where_it_was_written(
    trained: Callable[..., Any], repeating: Any
) -> None:
    """The highest loss is called best, so that it is the first checkpoint's."""
    settings = {
        "max_steps": 8, "save_steps": 2, "do_eval": True, "eval_steps": 2,
        "load_best_model_at_end": True, "greater_is_better": True,
    }  # fmt: skip
    first = trained("first", **settings)
    with pytest.raises(KeyboardInterrupt):
        first.go(repeating(20, interrupt_at=5 * 4), repeating(4))
    second = trained("second", **settings, save_total_limit=1)
    named = {"resume_from_checkpoint": str(first.output / "checkpoint-4")}
    result = second.go(repeating(20), repeating(4), **named)
    by_step = {row["step"]: row["eval_loss"] for row in first.metrics() if "eval_loss" in row}
    assert result.metrics["eval_loss"] == pytest.approx(by_step[2], abs=1e-6)
    (first.output / "checkpoint-2" / "COMPLETE").unlink()
    third = trained("third", **settings)
    with pytest.raises(ResumeError, match="checkpoint-2 evaluated best so far"):
        third.go(repeating(20), repeating(4), **named)


def test_a_run_that_was_killed_after_its_last_checkpoint_is_finished(
    trained: Callable[..., Any], repeating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = trained("whole", save_steps=12), trained("broken", save_steps=12)
    whole.go(repeating(20))
    with monkeypatch.context() as patch:
        patch.setattr("llm_train.loop.run.publish", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            broken.go(repeating(20))
    broken.go(repeating(20))
    assert broken.weights() == whole.weights()


def test_a_named_checkpoint_must_be_whole(trained: Callable[..., Any], repeating: Any) -> None:
    run = trained(max_steps=5)
    with pytest.raises(ResumeError, match="There is no folder"):
        run.go(repeating(8), resume_from_checkpoint=str(run.output / "checkpoint-3"))
    with pytest.raises(ResumeError, match="no complete checkpoint"):
        run.go(repeating(8), resume_from_checkpoint="true")


def test_evaluation_needs_held_out_data(trained: Callable[..., Any], repeating: Any) -> None:
    with pytest.raises(RecipeError, match="--split"):
        trained().go(repeating(8), do_eval=True)


def test_only_evaluating_writes_no_model(trained: Callable[..., Any], repeating: Any) -> None:
    run = trained()
    result = run.go(repeating(8), repeating(8), do_train=False, do_eval=True)
    assert result.metrics["eval_loss"] == pytest.approx(math.log(61), rel=0.05)
    assert [path.name for path in run.output.iterdir()] == ["eval_results.json"]


def test_recomputing_changes_no_loss(trained: Callable[..., Any], repeating: Any) -> None:
    plain, saving = trained("plain", max_steps=4), trained("saving", max_steps=4, recompute=True)
    plain.go(repeating(20))
    saving.go(repeating(20))
    np.testing.assert_allclose(
        list(saving.losses().values()), list(plain.losses().values()), atol=1e-6
    )


def test_workers_read_the_same_samples(trained: Callable[..., Any], repeating: Any) -> None:
    alone, helped = trained("alone", max_steps=4), trained("helped", max_steps=4)
    alone.go(repeating(20))
    helped.go(repeating(20), dataloader_num_workers=1)
    assert helped.losses() == alone.losses()
