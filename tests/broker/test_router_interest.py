"""Who is told about interest in a subject, and when."""

import pytest

from durabus.broker.bus import InterestWatcher
from durabus.broker.router import Router
from tests.broker.fakes import Client, FakeReceiver, FakeWatcher, session_limits


@pytest.fixture
def router() -> Router:
    """A router without anybody."""
    return Router()


def test_watching_a_literal_subscription(router: Router) -> None:
    watcher, one, other = FakeWatcher(), Client(router), Client(router)
    assert not router.watch(b"hb", watcher)
    one.say(b"SUB hb 1\r\nSUB hb 2\r\nSUB other 3\r\n")
    other.say(b"SUB hb 1\r\n")
    assert watcher.told == [(b"hb", True)]
    one.say(b"UNSUB 1\r\nUNSUB 2\r\n")
    assert watcher.told == [(b"hb", True)]
    other.session.close("gone", True)
    assert watcher.told == [(b"hb", True), (b"hb", False)]
    one.say(b"SUB hb q 5\r\n")
    assert watcher.told[2:] == [(b"hb", True)]


@pytest.mark.parametrize("pattern", [b"_INBOX.*", b"_INBOX.>", b">", b"*.abc"])
def test_watching_a_wildcard_subscription(router: Router, pattern: bytes) -> None:
    watcher, one = FakeWatcher(), Client(router)
    assert not router.watch(b"_INBOX.abc", watcher)
    one.say(b"SUB " + pattern + b" 1\r\n")
    assert watcher.told == [(b"_INBOX.abc", True)]
    one.say(b"SUB _INBOX.abc 2\r\n")
    one.say(b"UNSUB 1\r\n")
    assert watcher.told == [(b"_INBOX.abc", True)]
    one.say(b"UNSUB 2\r\n")
    assert watcher.told == [(b"_INBOX.abc", True), (b"_INBOX.abc", False)]


def test_watching_tells_what_is_now(router: Router) -> None:
    watcher, one = FakeWatcher(), Client(router)
    one.say(b"SUB hb.* 1\r\n")
    assert router.has_interest(b"hb.1")
    assert router.watch(b"hb.1", watcher)
    assert not router.watch(b"hb", watcher)
    one.say(b"UNSUB 1\r\n")
    assert watcher.told == [(b"hb.1", False)]


def test_several_watchers(router: Router) -> None:
    first, second, elsewhere, one = FakeWatcher(), FakeWatcher(), FakeWatcher(), Client(router)
    router.watch(b"hb", first)
    router.watch(b"hb", second)
    router.watch(b"hb.else", elsewhere)
    one.say(b"SUB hb 1\r\n")
    router.unwatch(b"hb", first)
    router.unwatch(b"hb", first)
    router.unwatch(b"unknown", first)
    one.say(b"UNSUB 1\r\n")
    assert (first.told, second.told, elsewhere.told) == ([(b"hb", True)], [(b"hb", True), (b"hb", False)], [])
    router.unwatch(b"hb", second)
    one.say(b"SUB hb 1\r\n")
    assert len(second.told) == 2
    router.unwatch(b"hb.else", elsewhere)
    assert (router._watchers, router._interest) == ({}, {})


def test_the_end_of_a_session_ends_its_interest_once(router: Router) -> None:
    watcher, one = FakeWatcher(), Client(router)
    router.watch(b"hb", watcher)
    one.say(b"SUB hb 1\r\nSUB > 2\r\nSUB hb q 3\r\nSUB * 4\r\n")
    one.session.close("gone", True)
    assert watcher.told == [(b"hb", True), (b"hb", False)]


def test_a_subscription_that_has_enough_ends_its_interest(router: Router) -> None:
    watcher, one, publisher = FakeWatcher(), Client(router), Client(router)
    router.watch(b"hb", watcher)
    one.say(b"SUB hb 1\r\nUNSUB 1 2\r\n")
    publisher.publish(b"hb", b"a", b"b", b"c")
    assert watcher.told == [(b"hb", True), (b"hb", False)]


def test_a_slow_consumer_loses_its_interest(router: Router) -> None:
    watcher, one, publisher = FakeWatcher(), Client(router, limits=session_limits(1000)), Client(router)
    router.watch(b"hb", watcher)
    one.say(b"SUB hb 1\r\nSUB foo 2\r\n")
    one.link.stuck = True
    publisher.publish(b"foo", b"x" * 2000)
    assert watcher.told == [(b"hb", True), (b"hb", False)]


def test_a_receiver_in_the_server_is_a_listener_too(router: Router) -> None:
    watcher, one = FakeWatcher(), Client(router)
    router.watch(b"foo.bar", watcher)
    router.subscribe(b"foo.*", FakeReceiver())
    assert watcher.told == [(b"foo.bar", True)]
    one.say(b"SUB foo.bar 1\r\nUNSUB 1\r\n")
    router.subscribe(b"foo.*", FakeReceiver())
    assert watcher.told == [(b"foo.bar", True)], "another receiver in its place is no change"
    router.unsubscribe(b"foo.*")
    assert watcher.told == [(b"foo.bar", True), (b"foo.bar", False)]


class Chained(InterestWatcher):
    """Does something to the router whenever it is told."""

    def __init__(self, router: Router, other: FakeWatcher, listener: Client) -> None:
        self.router = router
        self.other = other
        self.listener = listener
        self.told: list[tuple[bytes, bool]] = []
        self.ends_session = False

    def on_interest(self, subject: bytes, present: bool) -> None:
        self.told.append((subject, present))
        if self.ends_session:
            self.listener.session.close("gone", True)
        else:
            self.router.unwatch(subject, self.other)


def test_a_watcher_may_end_the_watch_of_another(router: Router) -> None:
    one, other = Client(router), FakeWatcher()
    chained = Chained(router, other, one)
    router.watch(b"hb", chained)
    router.watch(b"hb", other)
    one.say(b"SUB hb 1\r\n")
    assert (chained.told, other.told) == ([(b"hb", True)], [])


def test_a_watcher_may_undo_what_it_is_told(router: Router) -> None:
    one, other = Client(router), FakeWatcher()
    chained = Chained(router, other, one)
    chained.ends_session = True
    router.watch(b"hb", chained)
    router.watch(b"hb", other)
    one.say(b"SUB hb 1\r\n")
    assert not router.has_interest(b"hb")
    assert chained.told == [(b"hb", True), (b"hb", False)]
    assert other.told[-1:] == [(b"hb", False)], "what it heard last is what is true"
