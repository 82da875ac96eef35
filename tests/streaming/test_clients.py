"""The registry: who is known by which ID, and who is there."""

from durabus.streaming.clients import Client, ClientOwner, Clients
from durabus.streaming.records import ClientRecord


class Owner(ClientOwner):
    """Keeps what clients notice."""

    def __init__(self) -> None:
        self.noticed: list[tuple[str, bytes, bool]] = []

    def on_heartbeat_time(self, client: Client, now_ns: int) -> None:
        self.noticed.append(("heartbeat", client.client_id, client.is_absent))

    def on_absence_time(self, client: Client, now_ns: int) -> None:
        self.noticed.append(("absence", client.client_id, client.is_absent))

    def on_presence(self, client: Client) -> None:
        self.noticed.append(("presence", client.client_id, client.is_absent))


def make(client_id: bytes, connection_id: bytes = b"", owner: ClientOwner | None = None) -> Client:
    """A client of which nothing is known yet."""
    return Client(ClientRecord(client_id, b"_INBOX." + client_id, connection_id, 1), owner or Owner())


def test_a_client_is_found_by_either_id() -> None:
    clients = Clients()
    a = make(b"a", b"one")
    clients.add(a)
    assert clients.by_id == {b"a": a}
    assert clients.by_connection(b"one") is a
    assert clients.by_connection(b"two") is None
    assert a.is_registered


def test_a_sender_is_known_by_its_connection_alone() -> None:
    clients = Clients()
    a, b = make(b"a", b"one"), make(b"b", b"two")
    clients.add(a)
    clients.add(b)
    assert clients.sender(b"b", b"one") is a, "the client ID is not looked at"
    assert clients.sender(b"", b"two") is b
    assert clients.sender(b"a", b"three") is None, "a wrong connection ID is not made good by a right client ID"


def test_without_a_connection_id_the_client_id_decides() -> None:
    clients = Clients()
    a = make(b"a", b"one")
    clients.add(a)
    assert clients.sender(b"a", b"") is a
    assert clients.sender(b"b", b"") is None


def test_a_client_without_connection_id_is_not_found_by_the_empty_one() -> None:
    clients = Clients()
    clients.add(make(b"a"))
    assert clients.by_connection(b"") is None


def test_a_removed_client_is_nobody() -> None:
    clients = Clients()
    a = make(b"a", b"one")
    clients.add(a)
    clients.remove(a)
    assert not a.is_registered
    assert clients.by_id == {}
    assert clients.sender(b"a", b"") is None
    assert clients.sender(b"a", b"one") is None


def test_a_connection_id_that_two_claim_belongs_to_the_later_one() -> None:
    clients = Clients()
    a, b = make(b"a", b"same"), make(b"b", b"same")
    clients.add(a)
    clients.add(b)
    assert clients.sender(b"a", b"same") is b
    assert a.connection_id == b"", "whoever remembers the former owner must notice"
    assert clients.sender(b"a", b"") is a


def test_when_either_of_two_goes_the_connection_id_is_nobodys() -> None:
    for leaving in (0, 1):
        clients = Clients()
        both = [make(b"a", b"same"), make(b"b", b"same")]
        clients.add(both[0])
        clients.add(both[1])
        clients.remove(both[leaving])
        assert clients.sender(b"", b"same") is None
        assert both[1 - leaving].connection_id == b""
        assert both[1 - leaving].is_registered


def test_removing_a_client_without_connection_id_takes_nothing_from_others() -> None:
    clients = Clients()
    a, b = make(b"a"), make(b"b", b"two")
    clients.add(a)
    clients.add(b)
    clients.remove(a)
    assert clients.sender(b"", b"two") is b
    assert b.connection_id == b"two"


def test_absence_is_noticed_only_of_a_client_that_was_seen() -> None:
    owner = Owner()
    client = make(b"a", owner=owner)
    client.on_presence(False)
    assert not client.is_absent
    assert not client.was_seen
    client.on_presence(True)
    assert owner.noticed == []
    client.on_presence(False)
    client.on_presence(False)
    client.on_presence(True)
    assert owner.noticed == [("presence", b"a", True), ("presence", b"a", False)]


def test_the_heartbeat_inbox_is_what_is_watched() -> None:
    client = make(b"a")
    client.watcher.on_interest(b"_INBOX.a", True)
    client.watcher.on_interest(b"_INBOX.a", False)
    assert client.is_absent


def test_deadlines_go_to_the_owner() -> None:
    owner = Owner()
    client = make(b"a", owner=owner)
    client.on_time(5)
    client.absence.on_time(6)
    assert owner.noticed == [("heartbeat", b"a", False), ("absence", b"a", False)]
