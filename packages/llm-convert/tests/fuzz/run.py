"""Fuzz the readers for a while: `python packages/llm-convert/tests/fuzz/run.py --seconds 600`.

Every case is a mutation of a corpus file, or of an earlier mutation that reached a new outcome (the
kind of error and its sentence without names and numbers). Findings are kept in the corpus as
`found-*`; the exit code is 1 if there are any. Memory is bounded, so that a reader that believes a
length fails here.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import NoReturn

from fuzz_targets import CORPUS, OURS, TARGETS, corpus
from mutations import mutated

MEMORY = 6 << 30
LONGEST_SECONDS = 5


class TooSlow(Exception):
    """A case that took longer than LONGEST_SECONDS."""


def _alarm(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TooSlow


def sentence(error: BaseException) -> str:
    """What kind of refusal it is: the error without names, paths and numbers."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+|[\d.]+", "#", str(error))
    return f"{type(error).__name__}: {text[:80]}"


def fuzz(kind: str, seconds: float, rng: random.Random) -> tuple[int, Counter[str], int]:
    """Cases, outcomes and findings of one kind."""
    pool = [path.read_bytes() for path in corpus(kind)]
    seen: Counter[str] = Counter()
    findings: set[str] = set()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            data = mutated(rng.choice(pool), pool, rng)
            signal.alarm(LONGEST_SECONDS)
            try:
                TARGETS[kind](data, Path(folder))
                found = "read"
            except OURS as error:
                found = sentence(error)
            except Exception as error:
                found = "FINDING " + sentence(error)
                where = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{sentence(error)} at {Path(where.filename).name}:{where.lineno}"
                if place not in findings:
                    findings.add(place)
                    keep(kind, data, place)
            finally:
                signal.alarm(0)
            seen[found] += 1
            if seen[found] == 1 and len(pool) < 2000:
                pool.append(data)
    return seen.total(), seen, len(findings)


def keep(kind: str, data: bytes, place: str) -> None:
    """Store a finding in the corpus and say what it is."""
    path = CORPUS / kind / f"found-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    sys.stdout.write(f"{kind}: {place}\n    {path}\n")
    sys.stdout.flush()


def main() -> int:
    """Fuzz every kind for its share of the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("kinds", nargs="*", help=", ".join(TARGETS))
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _alarm)
    kinds = options.kinds or list(TARGETS)
    total = 0
    for kind in kinds:
        rng = random.Random(f"{options.seed} {kind}")
        cases, seen, findings = fuzz(kind, options.seconds / len(kinds), rng)
        total += findings
        sys.stdout.write(
            f"{kind}: {cases} cases, {seen['read']} read, {len(seen) - ('read' in seen)} kinds of "
            f"refusal, {findings} findings\n"
        )
        sys.stdout.flush()
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
