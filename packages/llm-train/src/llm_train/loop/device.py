"""Where a run computes. Chosen before the model is built, so that the model is built there."""

from __future__ import annotations

from llm_train.errors import RecipeError


def use_device(wanted: str) -> str:
    """Make Paddle compute on `wanted` ("auto", "cpu" or "gpu"); "cpu" or "gpu" as it turned out.

    "auto" is the GPU where Paddle has one. Raises RecipeError for a GPU that is not there.
    """
    import paddle

    there = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if wanted == "gpu" and not there:
        message = (
            "--device gpu: this Paddle has no GPU (paddlepaddle-gpu is not installed, or no device "
            "is visible). Use --device cpu, or install paddlepaddle-gpu."
        )
        raise RecipeError(message)
    chosen = "gpu" if there and wanted != "cpu" else "cpu"
    paddle.set_device(chosen)
    return chosen
