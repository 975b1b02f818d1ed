"""Which runs of several processes the tests of this folder look at, as jobs for herd.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FAMILIES = ("llama_v2_gqa", "gpt2", "chatglm2", "bloom", "qwen2_moe", "chatglm", "glm")
TWO: dict[str, dict[str, Any]] = {
    "data": {},
    "tensor": {"tensor_parallel_degree": 2},
    "sequence": {"tensor_parallel_degree": 2, "sequence_parallel": True},
    "pipeline": {"pipeline_parallel_degree": 2},
    "stage1": {"sharding": "stage1"},
    "stage2": {"sharding": "stage2"},
    "stage3": {"sharding": "stage3"},
}
FOUR: dict[str, dict[str, Any]] = {
    "tensor_pipeline": {"tensor_parallel_degree": 2, "pipeline_parallel_degree": 2},
    "few_heads": {"tensor_parallel_degree": 4},
    "everything": {
        "tensor_parallel_degree": 2,
        "sequence_parallel": True,
        "sharding": "stage2",
        "per_device_train_batch_size": 2,
    },
    "virtual": {"pipeline_parallel_degree": 2, "virtual_pp_degree": 2, "sharding": "stage1"},
    "recomputed": {"sharding": "stage3", "recompute": True},
}
COMBINED = (
    *((family, "tensor_pipeline") for family in FAMILIES),
    *((FAMILIES[0], mode) for mode in ("few_heads", "everything", "recomputed")),
    ("deep", "virtual"),
)
"""Model and mode of the runs of four processes; deep: a Llama of new weights, DEEPER."""
STEPS = 20
SAVED_AT, LONG = 3, 6
SAVED = ("tensor", "pipeline", "stage1", "stage3")
"""Layouts whose checkpoints are resumed, each by itself and by CHANGES."""
CHANGES = (("tensor", "stage3"), ("stage1", "pipeline"), ("stage3", "tensor"), ("one", "stage1"))
SHORT = 5
"""Steps of the runs in 16 bits."""
SIXTEEN: dict[str, dict[str, Any]] = {
    "O1": {"bf16": True, "fp16_opt_level": "O1"},
    "O2": {"bf16": True, "fp16_opt_level": "O2"},
}
SIXTEEN_TWO: dict[str, dict[str, Any]] = {
    "O2-sequence": {**SIXTEEN["O2"], **TWO["sequence"]},
    "O2-pipeline": {**SIXTEEN["O2"], **TWO["pipeline"]},
    "O2-stage3": {**SIXTEEN["O2"], **TWO["stage3"], "recompute": True},
}
FLASH = {"packed": False, "packed-flash": True}
FLASH_FAMILIES = ("llama_v2_gqa", "qwen2_moe")
"""Grouped heads, and biases that make the products' results float32 again."""
OVERFLOWING = {"fp16": True, "scale_loss": 2.0**20}
"""Two steps overflow."""
SKIPPING = {"fp16": True, "scale_loss": 2.0**60}
"""Every step overflows."""
EVALUATED = {"do_eval": True, "eval_steps": 100, "eval_on_start": False}
DEEPER = {"num_hidden_layers": 4}


def is_slow(family: str, mode: str) -> bool:
    """Whether a run is left to the slow tests: others look at the same code."""
    if mode in FOUR:
        return mode != "tensor_pipeline" or family != FAMILIES[0]
    quick = family == FAMILIES[0] or mode in ("tensor", "pipeline")
    # Of the two families with a prefix mask one is enough.
    return not quick or family == "glm"


def jobs(golden: Path, folder: Path, *, slow: bool) -> list[dict[str, Any]]:
    """The runs of the quick tests, or those of the slow ones.

    Their outputs are folder/FAMILY-MODE, and of the quick ones saved-MODE, same-MODE, MODE-to-MODE.
    """

    def case(family: str, mode: str, options: dict[str, Any], steps: int) -> dict[str, Any]:
        settings = {"lr_scheduler_type": "constant", **EVALUATED, **options}
        return _case(f"{family}-{mode}", golden / family, folder, settings, steps)

    one = [case(family, "one", {}, STEPS) for family in FAMILIES]
    two = [
        case(f, mode, options, STEPS)
        for f in FAMILIES
        for mode, options in TWO.items()
        if is_slow(f, mode) == slow
    ]
    four = [
        case(f, mode, FOUR[mode], STEPS)
        for f, mode in COMBINED
        if is_slow(f, mode) == slow and f != "deep"
    ]
    if slow:
        one.append(_deeper(golden, folder, "one", {}))
        four.append(_deeper(golden, folder, "virtual", FOUR["virtual"]))
        return [
            {"processes": 1, "cases": one},
            {"processes": 2, "cases": two},
            {"processes": 4, "cases": four},
        ]
    first, second = _checkpoints(golden / "llama_v2_gqa", folder)
    return [
        {"processes": 1, "cases": one + first},
        {"processes": 2, "cases": two + second},
        {"processes": 1, "cases": [_resumed("tensor-to-one", "tensor", {}, golden, folder)]},
        {"processes": 4, "cases": four},
        *_sixteen_bits(golden, folder),
    ]


def _sixteen_bits(golden: Path, folder: Path) -> list[dict[str, Any]]:
    """Mixed precision on one process and on two; float16 begins with a scale that overflows."""

    def case(family: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
        settings = {"lr_scheduler_type": "constant", **EVALUATED, **options}
        made = _case(f"{family}-{name}", golden / family, folder, settings, SHORT)
        return {**made, "sixteen_bits": True}

    one = [case(f, level, options) for f in FAMILIES for level, options in SIXTEEN.items()]
    saving = {"save_strategy": "steps", "save_steps": SAVED_AT, **OVERFLOWING}
    one.append(case(FAMILIES[0], "fp16", saving))
    checkpoint = folder / f"{FAMILIES[0]}-fp16" / f"checkpoint-{SAVED_AT}"
    resumed = {**OVERFLOWING, "resume_from_checkpoint": str(checkpoint)}
    one.append(case(FAMILIES[0], "fp16-resumed", resumed))
    for family in FLASH_FAMILIES:
        for name, flash in FLASH.items():
            options = {**SIXTEEN["O1"], "use_flash_attention": flash}
            one.append({**case(family, name, options), "packed": True})
    two = [case(FAMILIES[0], mode, options) for mode, options in SIXTEEN_TWO.items()]
    two.append(case(FAMILIES[0], "fp16-stage1", {**OVERFLOWING, **TWO["stage1"]}))
    two += _always_skipping(folder, case)
    return [{"processes": 1, "cases": one}, {"processes": 2, "cases": two}]


def _always_skipping(folder: Path, case: Any) -> list[dict[str, Any]]:
    """A run whose steps are all skipped, and one that goes on at its checkpoint."""
    options = {**SKIPPING, **TWO["stage1"]}
    saving = {"save_strategy": "steps", "save_steps": SAVED_AT, **options}
    checkpoint = folder / f"{FAMILIES[0]}-skipped" / f"checkpoint-{SAVED_AT}"
    return [
        case(FAMILIES[0], "skipped", saving),
        case(
            FAMILIES[0], "skipped-resumed", {**options, "resume_from_checkpoint": str(checkpoint)}
        ),
    ]


def _case(
    name: str, model: Path, folder: Path, options: dict[str, Any], steps: int
) -> dict[str, Any]:
    return {
        "name": name,
        "model": str(model),
        "output": str(folder / name),
        "options": options,
        "steps": steps,
    }


def _deeper(golden: Path, folder: Path, mode: str, options: dict[str, Any]) -> dict[str, Any]:
    """Four blocks of new weights, for as many stages."""
    settings = {"lr_scheduler_type": "constant", **options}
    made = _case(f"deep-{mode}", golden / "llama_v2_gqa", folder, settings, STEPS)
    return {**made, "changes": DEEPER}


def _checkpoints(model: Path, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Runs that save, on one process; then those that save and that resume, on two."""
    saving = {"save_strategy": "steps", "save_steps": SAVED_AT}
    one = [_case("saved-one", model, folder, saving, LONG)]
    two = [_case(f"saved-{m}", model, folder, {**saving, **TWO[m]}, LONG) for m in SAVED]
    two += [_resumed(f"same-{m}", m, TWO[m], model.parent, folder) for m in SAVED]
    two += [_resumed(f"{a}-to-{b}", a, TWO[b], model.parent, folder) for a, b in CHANGES]
    return one, two


def _resumed(
    name: str, source: str, options: dict[str, Any], golden: Path, folder: Path
) -> dict[str, Any]:
    checkpoint = folder / f"saved-{source}" / f"checkpoint-{SAVED_AT}"
    settings = {**options, "resume_from_checkpoint": str(checkpoint)}
    return _case(name, golden / "llama_v2_gqa", folder, settings, LONG)
