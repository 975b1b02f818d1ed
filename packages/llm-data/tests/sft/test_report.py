"""The report's rows and summary."""

from __future__ import annotations

from llm_data.sft import SftReport


def test_only_a_few_places_are_kept_but_all_are_counted() -> None:
    report = SftReport(records=10, samples=5)
    for line in range(5):
        report.drop("empty tgt", f"a.json:{line}")
    assert report.rows()[-1] == ("dropped: empty tgt", 5, "a.json:0, a.json:1, a.json:2")


def test_one_is_no_plural() -> None:
    report = SftReport(records=1, samples=1)
    assert report.summary().startswith("1 sample of 1 record;")


def test_summary_when_nothing_is_lost() -> None:
    report = SftReport(records=2000, samples=2000, tokens=9, trained_tokens=3)
    assert report.summary() == "2,000 samples of 2,000 records; nothing cut or dropped"
