"""Routing between clients and receivers in the server: who gets what, and who is told about interest."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from durabus.broker.router import Router
from durabus.wire.operations import Publish
from durabus.wire.subjects import matches
from tests.broker.fakes import QUIET, WITH_HEADERS, Client, FakeReceiver, FakeWatcher, session_limits

NO_ECHO = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'
NOBODY = b"HMSG in.1 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"


def msg(subject: bytes, sid: bytes, payload: bytes, reply: bytes = b"") -> bytes:
    """The frame that a client gets."""
    return b"MSG %b %b %b%d\r\n%b\r\n" % (subject, sid, reply + b" " if reply else b"", len(payload), payload)


@pytest.fixture
def router() -> Router:
    """A router without anybody."""
    return Router()


# Who gets what


def test_every_subscriber_gets_every_message_in_order(router: Router) -> None:
    one, other, publisher = Client(router), Client(router), Client(router)
    one.say(b"SUB foo 1\r\nSUB foo 2\r\n")
    other.say(b"SUB foo 7\r\nSUB bar 8\r\n")
    publisher.publish(b"foo", b"a", b"b", b"ccc")
    payloads = (b"a", b"b", b"ccc")
    heard = one.heard()
    assert heard.count(b"MSG") == 6
    for sid in (b"1", b"2"):
        places = [heard.index(msg(b"foo", sid, payload)) for payload in payloads]
        assert places == sorted(places)
    assert other.heard() == b"".join(msg(b"foo", b"7", payload) for payload in payloads)
    assert publisher.heard() == b""


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        (b"foo.*", b"foo.bar", True),
        (b"foo.*", b"foo", False),
        (b"foo.*", b"foo.bar.baz", False),
        (b"*.bar", b"foo.bar", True),
        (b"foo.>", b"foo.bar.baz", True),
        (b"foo.>", b"foo", False),
        (b">", b"anything", True),
        (b"_STAN.pub.shop.>", b"_STAN.pub.shop.order:created", True),
        (b"foo", b"Foo", False),
    ],
)
def test_wildcards(router: Router, pattern: bytes, subject: bytes, expected: bool) -> None:
    one, publisher, receiver = Client(router), Client(router), FakeReceiver()
    one.say(b"SUB " + pattern + b" 1\r\n")
    router.subscribe(pattern, receiver)
    publisher.publish(subject, b"x", reply=b"back")
    assert one.heard() == (msg(subject, b"1", b"x", b"back") if expected else b"")
    assert receiver.got() == ([(subject, b"back", b"x")] if expected else [])


def test_echo(router: Router) -> None:
    one, quiet, other = Client(router), Client(router, NO_ECHO), Client(router)
    for client in (one, quiet, other):
        client.say(b"SUB foo 1\r\n")
    one.publish(b"foo", b"a")
    assert (one.heard(), quiet.heard(), other.heard()) == (msg(b"foo", b"1", b"a"),) * 3
    quiet.publish(b"foo", b"b")
    assert (one.heard(), quiet.heard(), other.heard()) == (msg(b"foo", b"1", b"b"), b"", msg(b"foo", b"1", b"b"))


def test_unsubscribing_after_a_number_of_messages(router: Router) -> None:
    one, other, publisher = Client(router), Client(router), Client(router)
    one.say(b"SUB foo 1\r\nUNSUB 1 3\r\n")
    other.say(b"SUB foo 1\r\n")
    publisher.publish(b"foo", b"a", b"b", b"c", b"d", b"e")
    assert one.heard() == b"".join(msg(b"foo", b"1", payload) for payload in (b"a", b"b", b"c"))
    assert other.heard() == b"".join(msg(b"foo", b"1", payload) for payload in (b"a", b"b", b"c", b"d", b"e"))
    publisher.publish(b"foo", b"f")
    assert one.heard() == b""
    assert router.sublist.count == 1


def test_a_request_and_its_answer(router: Router) -> None:
    asker, answerer = Client(router), Client(router)
    asker.say(b"SUB in.* 1\r\nUNSUB 1 1\r\n")
    answerer.say(b"SUB help q 5\r\n")
    asker.publish(b"help", b"?", reply=b"in.1")
    assert answerer.heard() == msg(b"help", b"5", b"?", b"in.1")
    answerer.publish(b"in.1", b"!")
    assert asker.heard() == msg(b"in.1", b"1", b"!")


def test_headers_are_stripped_for_whom_does_not_understand_them(router: Router) -> None:
    new, old, receiver = Client(router, WITH_HEADERS), Client(router), FakeReceiver()
    new.say(b"SUB foo 1\r\n")
    old.say(b"SUB foo 1\r\n")
    router.subscribe(b"foo", receiver)
    new.say(b"HPUB foo back 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
    assert new.heard() == b"HMSG foo 1 back 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"
    assert old.heard() == b"MSG foo 1 back 2\r\nhi\r\n"
    assert (receiver.runs[0].header_bytes, receiver.runs[0].payloads) == (0, [b"hi"]), (
        "what is in the server reads messages, not headers"
    )


# Queue groups


def test_a_group_shares_its_messages(router: Router) -> None:
    members = [Client(router) for _ in range(3)]
    for member in members:
        member.say(b"SUB foo workers 1\r\n")
    plain, publisher = Client(router), Client(router)
    plain.say(b"SUB foo 1\r\n")
    payloads = [b"%03d" % i for i in range(300)]
    publisher.publish(b"foo", *payloads[:150])
    for payload in payloads[150:]:
        publisher.publish(b"foo", payload)
    heard = [member.heard() for member in members]
    for payload in payloads:
        assert sum(one.count(msg(b"foo", b"1", payload)) for one in heard) == 1
    assert plain.heard() == b"".join(msg(b"foo", b"1", payload) for payload in payloads)
    for one in heard:
        assert 50 < one.count(b"MSG") < 150, "all members are used, none much more than the others"
        positions = [one.find(msg(b"foo", b"1", payload)) for payload in payloads]
        own = [position for position in positions if position >= 0]
        assert own == sorted(own)


@pytest.mark.parametrize("member_count", [2, 3, 4])
@pytest.mark.parametrize("group_count", [1, 2, 3, 4])
def test_every_member_of_every_group_is_used(router: Router, member_count: int, group_count: int) -> None:
    groups = [[Client(router) for _ in range(member_count)] for _ in range(group_count)]
    for number, members in enumerate(groups):
        for member in members:
            member.say(b"SUB foo group%d 1\r\n" % number)
    publisher = Client(router)
    publisher.publish(b"foo", *[b"x"] * 120)
    for _ in range(120):
        publisher.publish(b"foo", b"x")
    for members in groups:
        counts = [member.heard().count(b"MSG") for member in members]
        assert sum(counts) == 240
        assert min(counts) > 240 / member_count / 2


def test_groups_on_different_subjects_do_not_starve_each_other(router: Router) -> None:
    members = {subject: [Client(router), Client(router)] for subject in (b"foo", b"bar")}
    for subject, both in members.items():
        for member in both:
            member.say(b"SUB " + subject + b" workers 1\r\n")
    publisher = Client(router)
    for _ in range(100):
        publisher.publish(b"foo", b"x")
        publisher.publish(b"bar", b"x")
    for both in members.values():
        counts = [member.heard().count(b"MSG") for member in both]
        assert sum(counts) == 100
        assert min(counts) > 25


def test_a_group_over_several_patterns_is_one_group(router: Router) -> None:
    one, other, publisher = Client(router), Client(router), Client(router)
    one.say(b"SUB foo.* workers 1\r\n")
    other.say(b"SUB foo.bar workers 1\r\n")
    publisher.publish(b"foo.bar", *[b"x"] * 50)
    counts = [one.heard().count(b"MSG"), other.heard().count(b"MSG")]
    assert sum(counts) == 50
    assert min(counts) > 0


def test_members_that_cannot_take_a_message_are_passed_over(router: Router) -> None:
    self_talker, limited, gone = Client(router, NO_ECHO), Client(router), Client(router)
    for client in (self_talker, limited, gone):
        client.say(b"SUB foo workers 1\r\n")
    limited.say(b"UNSUB 1 20\r\n")
    gone.session.close("gone", True)
    self_talker.publish(b"foo", *[b"x"] * 30)
    assert (self_talker.heard(), limited.heard().count(b"MSG")) == (b"", 20)
    other = Client(router)
    other.publish(b"foo", b"y")
    assert self_talker.heard() == msg(b"foo", b"1", b"y")


# No responders


def test_a_request_that_nobody_listens_to(router: Router) -> None:
    asker = Client(router, WITH_HEADERS)
    asker.say(b"SUB in.* 9\r\n")
    asker.publish(b"nobody", b"?", reply=b"in.1")
    assert asker.heard() == NOBODY
    asker.publish(b"nobody", b"?", b"?", reply=b"in.1")
    assert asker.heard() == NOBODY * 2


def test_no_responders_only_where_it_is_due(router: Router) -> None:
    asker, old, other = Client(router, WITH_HEADERS), Client(router), Client(router)
    asker.say(b"SUB in.* 9\r\n")
    old.say(b"SUB old.* 9\r\n")
    asker.publish(b"nobody", b"no reply subject")
    asker.publish(b"nobody", b"not my inbox", reply=b"old.1")
    old.publish(b"nobody", b"never asked for it", reply=b"old.1")
    other.say(b"SUB somebody 1\r\n")
    asker.publish(b"somebody", b"?", reply=b"in.1")
    assert (asker.heard(), old.heard()) == (b"", b"")


def test_a_group_is_somebody(router: Router) -> None:
    asker, member = Client(router, WITH_HEADERS), Client(router)
    asker.say(b"SUB in.* 9\r\n")
    member.say(b"SUB service workers 1\r\n")
    asker.publish(b"service", b"?", reply=b"in.1")
    assert (asker.heard(), member.heard()) == (b"", msg(b"service", b"1", b"?", b"in.1"))
    assert router.publish(b"service", b"", b"x")


def test_a_receiver_in_the_server_is_somebody(router: Router) -> None:
    asker, receiver = Client(router, WITH_HEADERS), FakeReceiver()
    asker.say(b"SUB in.* 9\r\n")
    router.subscribe(b"service", receiver)
    asker.publish(b"service", b"?", reply=b"in.1")
    assert asker.heard() == b""
    router.unsubscribe(b"service")
    asker.publish(b"service", b"?", reply=b"in.1")
    assert asker.heard() == NOBODY


def test_a_client_that_does_not_hear_itself_is_nobody(router: Router) -> None:
    asker = Client(router, b'CONNECT {"verbose":false,"headers":true,"no_responders":true,"echo":false}\r\n')
    asker.say(b"SUB in.* 9\r\nSUB foo 1\r\nSUB foo q 2\r\n")
    asker.publish(b"foo", b"?", reply=b"in.1")
    assert asker.heard() == NOBODY


def test_no_responders_counts_as_a_message(router: Router) -> None:
    asker = Client(router, WITH_HEADERS)
    asker.say(b"SUB in.* 9\r\nUNSUB 9 1\r\n")
    asker.publish(b"nobody", b"?", reply=b"in.1")
    asker.publish(b"nobody", b"?", reply=b"in.1")
    assert asker.heard() == NOBODY
    assert router.sublist.count == 0


# Receivers in the server


def test_a_receiver_gets_runs(router: Router) -> None:
    receiver, client = FakeReceiver(), Client(router)
    router.subscribe(b"foo.>", receiver)
    client.publish(b"foo.bar", b"a", b"b", reply=b"back")
    assert [run.payloads for run in receiver.runs] == [[b"a", b"b"]]
    assert receiver.got() == [(b"foo.bar", b"back", b"a"), (b"foo.bar", b"back", b"b")]
    router.unsubscribe(b"foo.>")
    router.unsubscribe(b"foo.>")
    client.publish(b"foo.bar", b"c")
    assert len(receiver.runs) == 1


def test_one_receiver_per_subject(router: Router) -> None:
    first, second, client = FakeReceiver(), FakeReceiver(), Client(router)
    router.subscribe(b"foo", first)
    router.subscribe(b"foo", second)
    client.publish(b"foo", b"x")
    assert (first.got(), second.got()) == ([], [(b"foo", b"", b"x")])
    router.unsubscribe(b"foo")
    assert router.sublist.count == 0


def test_the_server_publishes(router: Router) -> None:
    client, receiver = Client(router), FakeReceiver()
    assert not router.publish(b"foo", b"back", b"lost")
    client.say(b"SUB foo 1\r\n")
    assert router.publish(b"foo", b"back", b"x")
    router.subscribe(b"foo", receiver)
    assert router.publish(b"foo", b"", b"")
    assert client.heard() == b"", "nothing is sent before the flush"
    router.flush()
    assert client.heard() == msg(b"foo", b"1", b"x", b"back") + msg(b"foo", b"1", b"")
    assert receiver.got() == [(b"foo", b"", b"")]


def test_the_server_publishes_a_run(router: Router) -> None:
    client, members, receiver = Client(router), [Client(router), Client(router)], FakeReceiver()
    payloads = [b"1", b"2", b"33"]
    assert not router.publish_run(b"foo", b"head", payloads)
    client.say(b"SUB foo 1\r\n")
    for member in members:
        member.say(b"SUB foo q 1\r\n")
    router.subscribe(b"*", receiver)
    assert router.publish_run(b"foo", b"head", payloads)
    router.flush()
    frames = [msg(b"foo", b"1", b"head" + payload) for payload in payloads]
    assert client.heard() == b"".join(frames)
    heard = [member.heard() for member in members]
    for frame in frames:
        assert sum(one.count(frame) for one in heard) == 1
    assert receiver.got() == [(b"foo", b"", b"head1"), (b"foo", b"", b"head2"), (b"foo", b"", b"head33")]
    assert payloads == [b"1", b"2", b"33"]
    assert router.publish_run(b"foo", b"", payloads)
    assert receiver.got()[3:] == [(b"foo", b"", payload) for payload in payloads]
    assert receiver.runs[1].payloads is payloads, "without a head there is nothing to copy"


def test_receivers_are_listed_with_what_they_got(router: Router) -> None:
    client = Client(router)
    router.subscribe(b"foo", FakeReceiver())
    router.subscribe(b"bar.>", FakeReceiver())
    client.publish(b"foo", b"a", b"b")
    router.publish(b"bar.x", b"", b"c")
    listed = {one.subject: one for one in router.receivers()}
    assert {subject: one.delivered_count for subject, one in listed.items()} == {b"foo": 2, b"bar.>": 1}
    assert len({one.sid for one in listed.values()}) == 2
    router.unsubscribe(b"foo")
    assert [one.subject for one in router.receivers()] == [b"bar.>"]


def test_a_receiver_may_publish_at_once(router: Router) -> None:
    class Answering(FakeReceiver):
        """Answers every message on its reply subject."""

        def on_publish(self, publish: Publish) -> None:
            for payload in publish.payloads:
                assert router.publish(publish.reply, b"", payload.upper())

    client = Client(router)
    router.subscribe(b"service", Answering())
    client.say(b"SUB in.* 1\r\n")
    client.publish(b"service", b"a", b"b", reply=b"in.1")
    assert client.heard() == msg(b"in.1", b"1", b"A") + msg(b"in.1", b"1", b"B")


# Slow consumers


def test_a_slow_consumer_is_cut_off_and_nobody_else_notices(router: Router) -> None:
    limits = session_limits(200_000)
    slow, healthy, member, publisher = (Client(router, limits=limits) for _ in range(4))
    slow.say(b"SUB foo 1\r\nSUB foo workers 2\r\n")
    healthy.say(b"SUB foo 1\r\n")
    member.say(b"SUB foo workers 1\r\n")
    slow.link.stuck = True
    heard, count = bytearray(), 300
    for i in range(count):
        publisher.publish(b"foo", *[b"%06d" % i + b"x" * 2000] * 3)
        heard += healthy.heard()
        assert slow.link.unsent_bytes_seen_max <= 200_000
        assert sum(map(len, slow.session._output)) == 0
    assert slow.link.closed == ("Slow Consumer", True)
    assert heard == b"".join(msg(b"foo", b"1", b"%06d" % i + b"x" * 2000) * 3 for i in range(count))
    assert b"%06d" % (count - 1) in member.heard(), "the rest of the group has all to itself"
    assert (healthy.link.closed, member.link.closed, publisher.link.closed) == (None, None, None)
    assert router.sublist.count == 2


def test_a_slow_publisher_does_not_stop_what_it_publishes(router: Router) -> None:
    """It is cut off by its own echo, and its messages still reach the others."""
    limits = session_limits(50_000)
    both, healthy = Client(router, limits=limits), Client(router)
    both.say(b"SUB foo 1\r\n")
    healthy.say(b"SUB foo 1\r\n")
    both.link.stuck = True
    both.publish(b"foo", *[b"x" * 90] * 600)
    assert both.session.is_closed
    assert healthy.heard() == msg(b"foo", b"1", b"x" * 90) * 600


def test_a_client_that_goes_leaves_nothing_behind(router: Router) -> None:
    one, publisher = Client(router), Client(router)
    one.say(b"SUB foo 1\r\nSUB foo.* 2\r\nSUB foo q 3\r\n")
    publisher.publish(b"foo", b"x")
    assert router.sublist.count == 3
    one.session.close("gone", True)
    assert router.sublist.count == 0
    publisher.publish(b"foo", b"x")
    assert not router.has_interest(b"foo")


# Any sequence of everything

SUBJECTS = (b"a", b"b", b"a.a", b"a.b")
PATTERNS = (*SUBJECTS, b"*", b"a.*", b"a.>", b">")
CONNECTS = (QUIET, NO_ECHO, WITH_HEADERS)


class RouterMachine(RuleBasedStateMachine):
    """Clients come, subscribe, publish and go; a naive list of subscriptions says what must have come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Router()
        self.clients: list[Client] = []
        self.subscriptions: list[tuple[Client, bytes, bytes, bytes]] = []
        self.receivers: dict[bytes, FakeReceiver] = {}
        self.watchers = {subject: FakeWatcher() for subject in SUBJECTS}
        for subject, watcher in self.watchers.items():
            assert self.router.watch(subject, watcher) is False
        self.sids = 0

    @rule(connect=st.sampled_from(CONNECTS))
    def arrive(self, connect: bytes) -> None:
        """One more client."""
        self.clients.append(Client(self.router, connect))

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), pattern=st.sampled_from(PATTERNS), queue=st.sampled_from([b"", b"", b"q", b"r"]))
    def subscribe(self, data: st.DataObject, pattern: bytes, queue: bytes) -> None:
        """A client listens."""
        client = data.draw(st.sampled_from(self.clients))
        self.sids += 1
        sid = b"%d" % self.sids
        client.say(b"SUB %b %b %b\r\n" % (pattern, queue, sid))
        self.subscriptions.append((client, pattern, queue, sid))

    @precondition(lambda self: self.subscriptions)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        """A client listens no more."""
        subscription = data.draw(st.sampled_from(self.subscriptions))
        subscription[0].say(b"UNSUB %b\r\n" % subscription[3])
        self.subscriptions.remove(subscription)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A client goes."""
        client = data.draw(st.sampled_from(self.clients))
        client.session.close("gone", True)
        self.clients.remove(client)
        self.subscriptions = [one for one in self.subscriptions if one[0] is not client]

    @rule(pattern=st.sampled_from(PATTERNS))
    def receive(self, pattern: bytes) -> None:
        """The server listens, or no more."""
        if pattern in self.receivers:
            self.router.unsubscribe(pattern)
            del self.receivers[pattern]
        else:
            self.receivers[pattern] = FakeReceiver()
            self.router.subscribe(pattern, self.receivers[pattern])

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), subject=st.sampled_from(SUBJECTS), count=st.integers(1, 4))
    def publish(self, data: st.DataObject, subject: bytes, count: int) -> None:
        """A client publishes a run; everybody has what is due, and nothing else."""
        origin = data.draw(st.sampled_from(self.clients))
        payloads = [b"%d" % i for i in range(count)]
        origin.publish(subject, *payloads)
        due = [
            one
            for one in self.subscriptions
            if matches(one[1], subject) and (one[0] is not origin or origin.session.echo)
        ]
        heard = {id(client): client.heard() for client in self.clients}
        for client, _, queue, sid in due:
            if not queue:
                whole = b"".join(msg(subject, sid, payload) for payload in payloads)
                assert whole in heard[id(client)]
                heard[id(client)] = heard[id(client)].replace(whole, b"")
        shares: Counter[tuple[bytes, bytes]] = Counter()
        for client, _, queue, sid in due:
            for payload in payloads if queue else ():
                frame = msg(subject, sid, payload)
                shares[queue, payload] += heard[id(client)].count(frame)
                heard[id(client)] = heard[id(client)].replace(frame, b"")
        assert all(count == 1 for count in shares.values())
        assert not any(heard.values())
        for pattern, receiver in self.receivers.items():
            assert receiver.got() == (
                [(subject, b"", payload) for payload in payloads] if matches(pattern, subject) else []
            )
            receiver.runs.clear()

    @invariant()
    def watchers_know(self) -> None:
        """Each change of interest was told once."""
        patterns = [one[1] for one in self.subscriptions] + list(self.receivers)
        for subject, watcher in self.watchers.items():
            present = any(matches(pattern, subject) for pattern in patterns)
            assert self.router.has_interest(subject) == present
            told = [now for _, now in watcher.told]
            assert all(one == (i % 2 == 0) for i, one in enumerate(told)), "never the same twice in a row"
            assert (told[-1] if told else False) == present

    def teardown(self) -> None:
        """When all have gone nothing is left."""
        for client in self.clients:
            client.session.close("gone", True)
        for pattern in self.receivers:
            self.router.unsubscribe(pattern)
        assert self.router.sublist.count == 0
        for watcher in self.watchers.values():
            assert len(watcher.told) % 2 == 0


RouterMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestRouterMachine = RouterMachine.TestCase


@given(
    st.lists(
        st.sampled_from(
            [b"PUB foo 1\r\nx\r\n", b"SUB foo 1\r\n", b"UNSUB 1\r\n", b"UNSUB 1 2\r\n", b"\xff", b"PING\r\n"]
        )
    )
)
def test_one_client_cannot_hurt_another(data: list[bytes]) -> None:
    router = Router()
    bad, good = Client(router), Client(router)
    good.say(b"SUB bar 1\r\n")
    bad.say(b"".join(data))
    good.publish(b"bar", b"still here")
    assert good.heard() == msg(b"bar", b"1", b"still here")
    bad.session.close("gone", True)
    assert router.sublist.count == 1
