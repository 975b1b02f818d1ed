"""What happened to the records of a data set: nothing is cut or dropped without being counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

EXAMPLES = 3
"""Places named for each reason."""


@dataclass
class SftReport:
    """Counts over one data set; `samples` + all `dropped` = `records`."""

    records: int = 0
    samples: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Records that give no sample, by reason."""
    places: dict[str, list[str]] = field(default_factory=dict)
    """First `file:line`s of each reason."""
    source_cut: int = 0
    target_cut: int = 0
    cut: int = 0
    """Samples that lost text in any of the three ways."""
    rounds_dropped: int = 0
    """Samples that lost rounds."""
    endless: int = 0
    """Samples that do not learn where to stop."""
    tokens: int = 0
    trained_tokens: int = 0

    def drop(self, reason: str, place: str) -> None:
        """Count a record without a sample."""
        self.dropped[reason] += 1
        places = self.places.setdefault(reason, [])
        if len(places) < EXAMPLES:
            places.append(place)

    def rows(self) -> list[tuple[str, int, str]]:
        """(what, how many, where) for a table."""
        rows = [
            ("records", self.records, ""),
            ("samples", self.samples, ""),
            ("tokens", self.tokens, ""),
            ("trained tokens", self.trained_tokens, ""),
            ("question cut", self.source_cut, ""),
            ("answer cut", self.target_cut, ""),
            ("rounds dropped", self.rounds_dropped, ""),
            ("do not learn to stop", self.endless, ""),
        ]
        for reason, count in sorted(self.dropped.items()):
            rows.append((f"dropped: {reason}", count, ", ".join(self.places[reason])))
        return rows

    def warnings(self) -> list[str]:
        """A line for every reason for which records give no sample, naming the first places."""
        return [
            f"{', '.join(self.places[reason])}{', ...' * (count > EXAMPLES)}: {reason} "
            f"({_counted(count, 'record')} left out)"
            for reason, count in sorted(self.dropped.items())
        ]

    def summary(self) -> str:
        """One line for a log: what was lost, or that nothing was."""
        lost = [f"{count:,} {name}" for name, count, _ in self.rows()[4:] if count]
        head = f"{_counted(self.samples, 'sample')} of {_counted(self.records, 'record')}"
        return f"{head}; " + ("; ".join(lost) if lost else "nothing cut or dropped")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
