"""Which linears of a model are quantized, and whether a group size fits them.

Every weight whose slot is adaptable (`llm_kernels.families.SLOTS`): the linears of the decoder
layers, not the embedding and not the head. `skip_list_names` leaves some of them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Sizes, parameters
from llm_quant.errors import GroupSizeError, QuantError


def quantized_linears(
    spec: FamilySpec, sizes: Sizes, skip: Sequence[str], group_size: int
) -> dict[ParameterKey, tuple[int, ...]]:
    """Keys and shapes (N, K) of the weights to quantize, in forward order.

    Raises QuantError for a skip name that matches nothing or when nothing is left, and
    GroupSizeError naming every linear that the group size does not divide.
    """
    linears = {
        key: shape
        for key, shape in parameters(spec, sizes).items()
        if SLOTS[key.slot].adaptable and key.leaf == "weight"
    }
    for name in skip:
        if not any(_matches(name, key) for key in linears):
            slots = ", ".join(dict.fromkeys(key.slot for key in linears))
            message = (
                f"--skip_list_names {name} matches no linear of this model. Use slots ({slots}) "
                "or parts of names such as layers.0."
            )
            raise QuantError(message)
    chosen = {
        key: shape
        for key, shape in linears.items()
        if not any(_matches(name, key) for name in skip)
    }
    if not chosen:
        message = "--skip_list_names leaves no linear to quantize; name fewer."
        raise QuantError(message)
    _check_groups(chosen, group_size)
    return chosen


def _matches(name: str, key: ParameterKey) -> bool:
    return name == key.slot or ("." in name and name in f"{key.name}.")


def _check_groups(linears: Mapping[ParameterKey, tuple[int, ...]], group_size: int) -> None:
    width = 2 if group_size == -1 else group_size
    wrong = {key: shape[1] for key, shape in linears.items() if shape[1] % width}
    if not wrong:
        return
    named = list(dict.fromkeys((key.slot, columns) for key, columns in wrong.items()))
    which = ", ".join(f"{slot} (K = {columns})" for slot, columns in named)
    first = next(iter(wrong)).name
    legal = legal_group_sizes([shape[1] for shape in linears.values()])
    message = (
        f"--group_size {group_size} does not divide the input width of {which}, first at {first}. "
        f"Sizes that fit every linear: {', '.join(map(str, legal))}; or leave some out with "
        "--skip_list_names."
    )
    raise GroupSizeError(message)


def legal_group_sizes(widths: Sequence[int]) -> list[int]:
    """Group sizes that divide all the input widths: multiples of 8 from large to small, then -1."""
    common = math.gcd(*widths)
    return [size for size in range(min(common, 1024), 7, -1) if size % 8 == 0 == common % size] + [
        -1
    ]
