"""A client that does not read is cut off, and everybody else goes on (docs/protocol.md §1.10)."""

import threading

from tests.blackbox.wire_client import WireClient
from tests.server_process import ServerProcess, running_server

MIB = 1 << 20
PENDING_MIB_MAX = 64
PAYLOAD = bytes(MIB)


def test_a_slow_consumer_is_cut_off_and_everybody_else_goes_on() -> None:
    count = PENDING_MIB_MAX + 16
    got: list[int] = []

    def read_everything(client: WireClient) -> None:
        got.extend(len(client.message().payload) for _ in range(count))

    with (
        running_server() as server,
        WireClient(server.port, receive_buffer_bytes=65536) as slow,
        WireClient(server.port) as quick,
        WireClient(server.port) as publisher,
    ):
        slow.ask(b"SUB flood 1\r\n")
        quick.ask(b"SUB flood 1\r\n")
        reader = threading.Thread(target=read_everything, args=(quick,))
        reader.start()
        for _ in range(count):
            publisher.publish(b"flood", PAYLOAD)
        assert publisher.ask() == b""
        reader.join()
        assert got == [MIB] * count
        # What had left for it before is all that it gets.
        assert len(slow.rest()) < PENDING_MIB_MAX * MIB
        assert "Slow Consumer" in server.wait_line("Slow Consumer")
        assert quick.ask(b"PUB flood 2\r\nhi\r\n") == b"MSG flood 1 2\r\nhi\r\n"


def test_what_a_slow_client_asked_for_itself_counts_as_well(server: ServerProcess) -> None:
    with WireClient(server.port, receive_buffer_bytes=65536) as slow, WireClient(server.port) as other:
        slow.ask(b"SUB own 1\r\n")
        try:
            for _ in range(PENDING_MIB_MAX + 16):
                slow.publish(b"own", PAYLOAD)
        except (ConnectionResetError, BrokenPipeError):
            pass
        slow.rest()
        assert other.ask(b"SUB own 1\r\nPUB own 2\r\nhi\r\n") == b"MSG own 1 2\r\nhi\r\n"


def test_memory_goes_back_after_it() -> None:
    with running_server() as server, WireClient(server.port) as publisher:
        for _ in range(4):
            with WireClient(server.port, receive_buffer_bytes=65536) as slow:
                slow.ask(b"SUB flood 1\r\n")
                for _ in range(PENDING_MIB_MAX + 16):
                    publisher.publish(b"flood", PAYLOAD)
                assert publisher.ask() == b""
                slow.rest()
        assert server.resident_bytes < 4 * PENDING_MIB_MAX * MIB
