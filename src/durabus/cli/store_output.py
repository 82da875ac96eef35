"""What commands for stores print: reports of checks and copies as lines."""

from durabus.config.units import escape_char
from durabus.stores.copying import CopyReport
from durabus.stores.findings import CheckReport, shown_name

__all__ = ["check_lines", "content_line", "copy_lines", "one_line", "shown_bytes"]


def one_line(text: str) -> str:
    """`text` with everything escaped that could end the line or move the cursor: names of channels are what users chose."""
    return "".join(escape_char(char) for char in text)


def shown_bytes(count: int) -> str:
    """A number of bytes for people."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError("there is a last unit")  # pragma: no cover


def content_line(report: CheckReport) -> str:
    """How much is in a store."""
    whose = f'of cluster "{shown_name(report.cluster_id)}"' if report.cluster_id is not None else "of no server yet"
    return (
        f"{report.kind} {whose}: {_count(report.channels, 'channel')}, {_count(report.messages, 'message')} "
        f"({shown_bytes(report.message_bytes)}), {_count(report.clients, 'client')}, "
        f"{_count(report.subscriptions, 'subscription')}"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def check_lines(report: CheckReport) -> list[str]:
    """What is in a store, and what is damaged."""
    lines = [content_line(report)]
    lines += [f"note: {note}" for note in report.notes]
    if report.lost_before:
        lines.append(f"note: {_count(report.lost_before, 'message')} known as lost, from before")
    lines += [f"damaged: {finding.text}" for finding in report.findings]
    if report.finding_count > len(report.findings):
        lines.append(f"damaged: and {report.finding_count - len(report.findings):,} more")
    lines.append("nothing is damaged" if report.is_well else _count(report.finding_count, "finding"))
    return [one_line(line) for line in lines]


def copy_lines(report: CopyReport) -> list[str]:
    """What was copied, and what could not be."""
    lines = [f"damaged: {damage}" for damage in report.damage]
    lines += [f"lost: {lost}" for lost in report.lost]
    if report.was_complete:
        lines.append("everything was there already")
    else:
        there = f", {_count(report.messages_there, 'message')} were there already" if report.messages_there else ""
        lines.append(
            f"copied {_count(report.channels, 'channel')}, {_count(report.messages - report.lost_count, 'message')} "
            f"({shown_bytes(report.message_bytes)}), {_count(report.clients, 'client')}, "
            f"{_count(report.subscriptions, 'subscription')}{there}"
        )
    if report.lost_count:
        lines.append(f"{_count(report.lost_count, 'message')} could not be copied: their numbers are kept")
    return [one_line(line) for line in lines]
