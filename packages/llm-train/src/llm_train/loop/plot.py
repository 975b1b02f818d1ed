"""loss.png: training and held-out loss against step, drawn from metrics.jsonl."""

from __future__ import annotations

from pathlib import Path

from llm_train.loop.watch import METRICS_FILE, read_metrics

PICTURE = "loss.png"
FEW_POINTS = 50
"""Up to so many training losses are drawn with a dot each."""


def draw_losses(output_dir: Path, title: str) -> Path | None:
    """Draw `output_dir`'s metrics; the picture's path, or None where no loss was written."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = read_metrics(output_dir / METRICS_FILE)
    trained = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    valid = [(row["step"], row["eval_loss"]) for row in rows if "eval_loss" in row]
    if not trained and not valid:
        return None
    figure, axis = pyplot.subplots(figsize=(7.2, 4.4), constrained_layout=True)
    if trained:
        # A line alone shows nothing of a single point and little of a few.
        marker = "o" if len(trained) <= FEW_POINTS else None
        axis.plot(
            *zip(*trained, strict=True),
            color="0.6",
            linewidth=1.2,
            marker=marker,
            markersize=3,
            label="training batches",
        )
    if valid:
        axis.plot(*zip(*valid, strict=True), "o-", color="C0", markersize=4, label="held out")
    axis.set(title=title, xlabel="optimizer step", ylabel="loss (nats a token)")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(output_dir / PICTURE, dpi=120)
    pyplot.close(figure)
    return output_dir / PICTURE
