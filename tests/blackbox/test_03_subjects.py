"""Wildcards, invalid subjects and NATS queue groups (docs/protocol.md §1.5, §3.1)."""

from collections import Counter

import pytest

from tests.blackbox.wire_client import WireClient
from tests.server_process import ServerProcess


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (b"w1.*", [b"w1.a", b"w1.*"], [b"w1", b"w1.a.b", b"x.a"]),
        (b"w2.*.c", [b"w2.b.c", b"w2.>.c"], [b"w2.c", b"w2.b.c.d", b"w2.b.x"]),
        (b"w3.>", [b"w3.a", b"w3.a.b.c"], [b"w3", b"w33.a"]),
        (b"*.w4", [b"a.w4"], [b"w4", b"a.b.w4"]),
        (b"w5.a*", [b"w5.a*"], [b"w5.ab", b"w5.a"]),
        (b"w6.>x", [b"w6.>x"], [b"w6.ax"]),
        (b"W7", [b"W7"], [b"w7"]),
    ],
)
def test_wildcards(server: ServerProcess, pattern: bytes, matching: list[bytes], others: list[bytes]) -> None:
    with WireClient(server.port) as listener, WireClient(server.port) as publisher:
        listener.ask(b"SUB %b 1\r\n" % pattern)
        for subject in [*matching, *others]:
            publisher.publish(subject, b"")
        publisher.ask()
        heard = listener.ask()
        assert heard == b"".join(b"MSG %b 1 0\r\n\r\n" % subject for subject in matching)


@pytest.mark.parametrize("subject", [b"a..b", b".a", b"a.", b"a.>.b", b">.a", b"."])
def test_an_invalid_subject_of_a_subscription(server: ServerProcess, subject: bytes) -> None:
    with WireClient(server.port) as client:
        assert client.ask(b"SUB %b 1\r\n" % subject) == b"-ERR 'Invalid Subject'\r\n"
        # The connection goes on, and the sid is still free.
        assert client.ask(b"SUB fine.again 1\r\nPUB fine.again 1\r\nx\r\n") == b"MSG fine.again 1 1\r\nx\r\n"


def test_each_message_goes_to_one_of_a_group(server: ServerProcess) -> None:
    count = 600
    with WireClient(server.port) as publisher, WireClient(server.port) as alone:
        members = [WireClient(server.port) for _ in range(3)]
        alone.ask(b"SUB work 1\r\n")
        for member in members:
            member.ask(b"SUB work crew 1\r\n")
        members[0].ask(b"SUB work others 2\r\n")
        publisher.ask(b"".join(b"PUB work 3\r\n%03d\r\n" % i for i in range(count)))
        expected = [b"%03d" % i for i in range(count)]
        assert [alone.message().payload for _ in range(count)] == expected
        shares: list[list[bytes]] = []
        for member in members:
            lines = member.ask().split(b"\r\n")[:-1]
            shares.append([payload for head, payload in zip(lines[::2], lines[1::2], strict=True) if b" 1 " in head])
            member.close()
    assert sorted(payload for share in shares for payload in share) == expected
    assert all(share == sorted(share) for share in shares)
    assert all(len(share) > count // 10 for share in shares), "every member has a share"


def test_a_group_is_known_by_its_name_whatever_pattern_its_members_use(server: ServerProcess) -> None:
    with WireClient(server.port) as client:
        client.ask(b"SUB split.a crew 1\r\nSUB split.* crew 2\r\nSUB split.a another 3\r\n")
        heard = client.ask(b"PUB split.a 0\r\n\r\n" * 4)
    count = Counter(heard.split(b"\r\n\r\n")[:-1])
    assert count.pop(b"MSG split.a 3 0") == 4
    assert count.total() == 4


def test_a_group_goes_on_without_a_member(server: ServerProcess) -> None:
    with WireClient(server.port) as publisher, WireClient(server.port) as stays:
        with WireClient(server.port) as goes:
            stays.ask(b"SUB shift crew 1\r\n")
            goes.ask(b"SUB shift crew 1\r\nUNSUB 1 2\r\n")
            publisher.ask(b"PUB shift 0\r\n\r\n" * 20)
            assert goes.ask() == b"MSG shift 1 0\r\n\r\n" * 2
        assert stays.ask() == b"MSG shift 1 0\r\n\r\n" * 18
