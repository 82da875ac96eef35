"""Reports of checks."""

from durabus.stores import findings
from durabus.stores.findings import CheckReport, Finding, shown_name, shown_range


def test_a_report_counts_more_than_it_keeps() -> None:
    assert CheckReport().is_well
    report = CheckReport()
    for number in range(findings.FINDINGS_MAX + 5):
        report.add(Finding(str(number), "somewhere"))
    assert not report.is_well
    assert (report.finding_count, len(report.findings)) == (findings.FINDINGS_MAX + 5, findings.FINDINGS_MAX)


def test_a_finding_may_cost_messages() -> None:
    finding = Finding("it is gone", "file bytes 1 to 2", b"raw")
    assert (finding.channel, finding.first, finding.last) == (b"", 0, 0)
    assert finding.costs(b"foo", 3, 5) is finding
    assert (finding.channel, finding.first, finding.last) == (b"foo", 3, 5)


def test_messages_in_words() -> None:
    assert shown_range(3, 3, b"foo") == 'message 3 of channel "foo"'
    assert shown_range(3, 4, b"f\xff") == 'messages 3 to 4 of channel "f\\xff"'
    assert shown_name(b"caf\xc3\xa9") == "café"
