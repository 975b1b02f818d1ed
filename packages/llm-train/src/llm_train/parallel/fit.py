"""Whether a model can be shared as a layout asks. Known from config.json, before Paddle."""

from __future__ import annotations

from llm_kernels.errors import ShapeError
from llm_kernels.families import FamilySpec, Sizes, parameters, tensor_parallel_axis
from llm_train.errors import RecipeError
from llm_train.parallel.layout import Layout


def check_layout(layout: Layout, spec: FamilySpec, sizes: Sizes) -> None:
    """Raise RecipeError where heads, widths or blocks of the model do not fit the degrees."""
    stages = layout.pipeline * layout.chunks
    if stages > sizes.layers:
        message = (
            f"A pipeline of {layout.pipeline} ranks with {layout.chunks} parts each needs "
            f"{stages} blocks; the model has {sizes.layers}. Lower --pipeline_parallel_degree or "
            "--virtual_pp_degree."
        )
        raise RecipeError(message)
    try:
        for key in parameters(spec, sizes):
            tensor_parallel_axis(key, sizes, layout.tensor)
    except ShapeError as error:
        message = f"--tensor_parallel_degree {layout.tensor} does not fit the model: {error}"
        raise RecipeError(message) from error
