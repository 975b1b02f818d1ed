"""`llm kernels test`: every native op against its NumPy reference, on every instruction set."""

from __future__ import annotations

import numpy as np

from llm_cli.console import console, table
from llm_kernels import native
from llm_kernels.commands.checks import CHECKS, Outcome
from llm_kernels.commands.options import NumericsOptions


def test(options: NumericsOptions) -> int:
    """Print one row for each op and instruction set; 1 where an error is beyond its tolerance."""
    rows = []
    failures = 0
    for isa in native.runnable_isas():
        for name, check in CHECKS.items():
            rng = np.random.default_rng(options.seed)
            worst = max((check(rng, isa) for _ in range(options.rounds)), key=_share)
            failures += not worst.passed
            verdict = "ok" if worst.passed else "WRONG"
            rows.append((name, isa, f"{worst.error:.1e}", f"{worst.tolerance:.0e}", verdict))
    table("Numerics", ("op", "instruction set", "largest error", "tolerance", "verdict"), rows)
    if failures:
        console.print(
            f"{failures} of {len(rows)} checks are beyond their tolerance. Set LLM_KERNELS_ISA to "
            "a lower instruction set that passes, and report the table."
        )
    return 1 if failures else 0


def _share(outcome: Outcome) -> float:
    """The error as a share of its tolerance; not-a-number counts as the worst."""
    share = outcome.error / outcome.tolerance
    return share if np.isfinite(share) else float("inf")
