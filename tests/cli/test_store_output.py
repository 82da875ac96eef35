"""What commands for stores print."""

import pytest

from durabus.cli.store_output import check_lines, content_line, copy_lines, shown_bytes
from durabus.stores.copying import CopyReport, LostRange
from durabus.stores.findings import FINDINGS_MAX, CheckReport, Finding


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (9_876_543_210_000, "9,877 GB")],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert shown_bytes(count) == text


def report_of() -> CheckReport:
    report = CheckReport()
    report.kind, report.cluster_id = "FILE", b"bus"
    report.channels, report.messages, report.message_bytes = 1, 12_345, 1_000_000
    report.clients, report.subscriptions = 0, 2
    return report


def test_a_sound_store() -> None:
    assert check_lines(report_of()) == [
        'FILE of cluster "bus": 1 channel, 12,345 messages (1.0 MB), 0 clients, 2 subscriptions',
        "nothing is damaged",
    ]


def test_a_damaged_store() -> None:
    report = report_of()
    report.cluster_id = None
    report.notes.append("in use by somebody")
    report.lost_before = 1
    for number in range(FINDINGS_MAX + 2):
        report.add(Finding(f"number {number}", ""))
    lines = check_lines(report)
    assert lines[0].startswith("FILE of no server yet")
    assert lines[1:4] == ["note: in use by somebody", "note: 1 message known as lost, from before", "damaged: number 0"]
    assert lines[-2:] == ["damaged: and 2 more", f"{FINDINGS_MAX + 2:,} findings"]


def test_nothing_can_end_a_line() -> None:
    report = report_of()
    report.cluster_id = b"a\nb\x1b[2J"
    assert "\n" in content_line(report)
    assert check_lines(report)[0].startswith('FILE of cluster "a\\x0ab\\x1b[2J"')


def test_a_copy() -> None:
    report = CopyReport()
    report.channels, report.messages, report.message_bytes, report.messages_there = 2, 10, 100, 5
    report.clients, report.subscriptions = 1, 3
    assert copy_lines(report) == [
        "copied 2 channels, 10 messages (100 bytes), 1 client, 3 subscriptions, 5 messages were there already"
    ]
    report.damage.append("something")
    report.lost_count = 3
    report.lost.append(LostRange(b"foo", 4, 6))
    assert copy_lines(report)[:2] == ["damaged: something", 'lost: messages 4 to 6 of channel "foo"']
    assert copy_lines(report)[2].startswith("copied 2 channels, 7 messages (100 bytes)")
    assert copy_lines(report)[-1] == "3 messages could not be copied: their numbers are kept"


def test_a_copy_that_was_complete() -> None:
    report = CopyReport()
    report.was_complete = True
    assert copy_lines(report) == ["everything was there already"]
