"""Both directions between canonical parameters and the tensors of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from llm_convert.errors import TensorMismatchError
from llm_convert.layout.matching import check, further, in_file, relevant
from llm_convert.layout.stored import EMBED, HEAD, StoredTensor, stored_tensors
from llm_convert.layout.transforms import (
    Weight,
    join_rows,
    on_rows,
    transpose,
)
from llm_convert.names import Checkpoint, checkpoints
from llm_convert.names import checkpoint as checkpoint_of
from llm_kernels.families import FamilySpec, ParameterKey, Sizes
from llm_kernels.reference import unit_rows


@dataclass(frozen=True)
class Layout:
    """One model in one checkpoint form; make it with `Layout.of` or `layout_of_files`.

    `tensors`: full stored name -> StoredTensor. `names`: full stored name -> name in the files
    that are read (the same, unless they leave out a prefix). `twin`: name in the files of a head
    that the configuration says is tied; `check_tied_head` compares it with the embedding.
    `left_out`: names of layers that predict further tokens, which no decoder here does.
    """

    spec: FamilySpec
    sizes: Sizes
    naming: str
    checkpoint: Checkpoint
    tensors: Mapping[str, StoredTensor]
    names: Mapping[str, str]
    source: Mapping[ParameterKey, str]
    twin: str | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, spec: FamilySpec, sizes: Sizes, naming: str, checkpoint: Checkpoint | None = None
    ) -> Layout:
        """The layout that is written in `naming`; `checkpoint` picks another form of it."""
        form = checkpoint or checkpoint_of(spec, naming)
        tensors = stored_tensors(spec, sizes, form)
        source = {key: name for name, tensor in tensors.items() for key in tensor.parts}
        return cls(spec, sizes, naming, form, tensors, {n: n for n in tensors}, source)

    def decode(self, key: ParameterKey, tensors: Mapping[str, Weight]) -> Weight:
        """One canonical parameter from the tensors of the files; a view where that is possible.

        Only the one tensor that holds it is touched. KeyError for a key the model does not have.
        """
        if key == HEAD and key not in self.source:
            key = EMBED
        full = self.source[key]
        stored = self.tensors[full]
        weight = tensors[self.names[full]]
        if stored.transposed:
            weight = transpose(weight, full)
        if stored.fusion is not None:
            fusion, part = stored.fusion, stored.parts.index(key)
            weight = on_rows(weight, lambda rows: fusion.split(rows, part))
        if stored.rope_pairs is not None:
            weight = on_rows(weight, stored.rope_pairs.to_half)
        return weight

    def encode(self, name: str, get: Callable[[ParameterKey], Weight]) -> Weight:
        """The tensor to store under `name` (a key of `tensors`), from canonical parameters.

        Inverse of `decode`. Raises TensorMismatchError for the embedding of a naming that has no
        place for a head that differs from it.
        """
        stored = self.tensors[name]
        parts = [get(key) for key in stored.parts]
        if stored.rope_pairs is not None:
            turned = stored.rope_pairs.from_half
            parts = [on_rows(part, turned) for part in parts]
        weight = join_rows(parts, stored.fusion.join) if stored.fusion else parts[0]
        if EMBED in stored.parts and not self.sizes.tied and HEAD not in self.source:
            _check_equal_head(weight, get(HEAD), self.naming)
        if stored.normalized and isinstance(weight, np.ndarray):
            weight = unit_rows(weight)
        return transpose(weight, name) if stored.transposed else weight

    def check_tied_head(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Compare a head that is stored beside the embedding it should share.

        Raises TensorMismatchError where they differ; nothing where no such head is stored.
        """
        if self.twin is None:
            return
        head = tensors[self.twin]
        embed = tensors[self.names[self.source[EMBED]]]
        same = np.array_equal(head, embed)
        if not same and head.shape == embed.shape[::-1]:
            same = np.array_equal(head.T, embed)
        if not same:
            message = (
                f"config.json ties the head to the embedding, but {self.twin} differs from it. "
                "Set tie_word_embeddings to false in config.json, or remove the tensor."
            )
            raise TensorMismatchError(message)


def layout_of_files(
    spec: FamilySpec, sizes: Sizes, shapes: Mapping[str, tuple[int, ...]]
) -> Layout:
    """The checkpoint form that the files hold, found by their tensors' names, and checked.

    `shapes`: name in the files -> shape; quantized weights count under their plain name with their
    unpacked shape. Raises TensorMismatchError that lists at once every tensor that is missing,
    unknown or of another shape, measured against the form that fits best.
    """
    candidates = [
        # A repeated head may be absent, and is compared with the embedding where it is not.
        Layout.of(spec, sizes, naming, replace(form, head_repeated=False))
        for naming, table in checkpoints(spec).items()
        for form in table.forms()
    ]
    best = max(candidates, key=lambda layout: _fit(layout, shapes))
    names = relevant(shapes, best.checkpoint)
    left_out = further(names, best.checkpoint, sizes.layers)
    skipped = set(left_out)
    names = [name for name in names if name not in skipped]
    found = in_file(best.tensors, names, best.checkpoint)
    known = set(found.values())
    rest = [name for name in names if name not in known]
    twin = _twin(best, rest)
    rest = [name for name in rest if name != twin]
    what = f"{spec.name} in the naming {best.naming}"
    check(best.tensors, found, shapes, rest, what)
    return Layout(
        spec,
        sizes,
        best.naming,
        best.checkpoint,
        best.tensors,
        found,
        best.source,
        twin,
        tuple(left_out),
    )


def _fit(layout: Layout, shapes: Mapping[str, tuple[int, ...]]) -> tuple[float, int]:
    found = in_file(layout.tensors, list(shapes), layout.checkpoint)
    fitting = sum(tuple(shapes[name]) == layout.tensors[full].shape for full, name in found.items())
    return len(found) / len(layout.tensors), fitting


def _twin(layout: Layout, names: list[str]) -> str | None:
    if not layout.sizes.tied or not layout.checkpoint.head:
        return None
    full = layout.checkpoint.head
    spellings = (full, full.removeprefix(layout.checkpoint.optional_prefix))
    return next((name for name in spellings if name in names), None)


def _check_equal_head(embed: Weight, head: Weight, naming: str) -> None:
    equal = (
        isinstance(embed, np.ndarray)
        and isinstance(head, np.ndarray)
        and np.array_equal(embed, head)
    )
    if not equal:
        message = (
            f"The naming {naming} has no place for a head of this family: its head is the "
            "embedding, and this model's head differs from it. Write the naming 'hf' instead."
        )
        raise TensorMismatchError(message)
