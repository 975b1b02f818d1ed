"""Model families: one declarative spec each, and everything that follows from it.

`detect(config)` finds the row, `read_sizes(spec, config)` the numbers of a checkpoint, and
`parameters(spec, sizes)` every canonical parameter with its shape. Nothing else in the toolchain
knows families: code asks the axes of a spec. This package refuses to know how files name and lay
out weights (llm-convert's `names` and `layout` do) and what a tokenizer does.
"""

from __future__ import annotations

from llm_kernels.families.derived import adaptable_slots, quantization_groups
from llm_kernels.families.fields import ALIASES
from llm_kernels.families.parameters import ParameterKey, parameters
from llm_kernels.families.prefix import prefix_positions
from llm_kernels.families.registry import (
    FAMILIES,
    contradiction,
    detect,
    missing_fields,
    supported_architectures,
)
from llm_kernels.families.scaling import (
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    LongScaling,
    NtkScaling,
    RopeScaling,
    YarnScaling,
)
from llm_kernels.families.sizes import Latent, Sizes, read_sizes
from llm_kernels.families.slots import SLOTS, Slot
from llm_kernels.families.spec import (
    Activation,
    Alibi,
    Attention,
    FamilySpec,
    Head,
    Learned,
    Mlp,
    Moe,
    Norm,
    Position,
    Rope,
)
from llm_kernels.families.tensor_parallel import merge, shard, tensor_parallel_axis

__all__ = [
    "ALIASES",
    "FAMILIES",
    "SLOTS",
    "Activation",
    "Alibi",
    "Attention",
    "DynamicScaling",
    "FamilySpec",
    "Head",
    "Latent",
    "Learned",
    "LinearScaling",
    "Llama3Scaling",
    "LongScaling",
    "Mlp",
    "Moe",
    "Norm",
    "NtkScaling",
    "ParameterKey",
    "Position",
    "Rope",
    "RopeScaling",
    "Sizes",
    "Slot",
    "YarnScaling",
    "adaptable_slots",
    "contradiction",
    "detect",
    "merge",
    "missing_fields",
    "parameters",
    "prefix_positions",
    "quantization_groups",
    "read_sizes",
    "shard",
    "supported_architectures",
    "tensor_parallel_axis",
]
