"""A group's state machine on a virtual clock: when it asks for the lock, what it says and when, who gives way."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.server.ft_group import (
    ACTIVE,
    ENDED,
    HEARTBEAT_NS,
    LOCKING,
    PATIENCE_NS,
    STANDBY,
    Abort,
    Action,
    Activate,
    Confirm,
    FTGroup,
    Say,
    Send,
    TryLock,
)
from durabus.wire.control_messages import (
    GROUP_HEARTBEAT,
    PARTITIONING,
    decode_control_message,
    decode_moment,
    encode_control_message,
    encode_moment,
)

pytestmark = pytest.mark.row(161)

SECOND_NS = 1_000_000_000
WALL_NS = 1_700_000_000 * SECOND_NS
STANDBY_LINE = "Starting in standby mode"
ACTIVE_LINE = "Server is active"
BUSY_LINE = "ft: unable to get store lock at this time, going back to standby"


class World:
    """A group of servers, the lock that they share, and the time. Heartbeats arrive at once."""

    def __init__(self, *names: bytes) -> None:
        self.now_ns = 5 * SECOND_NS
        self.groups = {name: FTGroup(name) for name in names}
        self.holder = b""
        self.errors: list[str] = []
        self.cut: set[bytes] = set()  # who hears nobody, and cannot be heard
        self.asked: list[bytes] = []  # who made sure that the store is its own
        self.sent: list[tuple[int, bytes, bytes]] = []
        self.lines: dict[bytes, list[str]] = {name: [] for name in names}
        self.activated: list[bytes] = []
        self.aborted: dict[bytes, str] = {}
        for name, group in self.groups.items():
            self.do(name, group.begin(self.now_ns))

    def do(self, name: bytes, actions: Iterable[Action]) -> None:
        """Do what a server's group says."""
        for action in actions:
            if isinstance(action, Say):
                self.lines[name].append(action.text)
            elif isinstance(action, Send):
                self.say(name, action.payload)
            elif isinstance(action, TryLock):
                self.lock(name)
            elif isinstance(action, Activate):
                self.activated.append(name)
            elif isinstance(action, Confirm):
                self.asked.append(name)
                self.do(name, self.groups[name].on_confirmed(self.holder == name, self.now_ns))
            else:
                assert isinstance(action, Abort)
                self.aborted[name] = action.text

    def say(self, name: bytes, payload: bytes) -> None:
        """Somebody publishes on the group's subject."""
        is_sent = name not in self.cut
        if name in self.groups:
            self.do(name, self.groups[name].on_sent(is_sent, self.now_ns))
        if is_sent:
            self.sent.append((self.now_ns, name, payload))
            for other, group in self.groups.items():
                if other not in self.cut:
                    self.do(other, group.on_message(payload, self.now_ns))

    def lock(self, name: bytes) -> None:
        """A server asks for the lock."""
        error = self.errors.pop(0) if self.errors else ""
        is_ours = not error and self.holder in (b"", name)
        if is_ours:
            self.holder = name
        self.do(name, self.groups[name].on_lock(is_ours, error, self.now_ns, WALL_NS + self.now_ns))

    def advance(self, duration_ns: int) -> None:
        """Time passes, from deadline to deadline."""
        end_ns = self.now_ns + duration_ns
        while True:
            deadlines = [group.next_ns() for group in self.groups.values() if group.next_ns()]
            self.now_ns = max(self.now_ns, min([*deadlines, end_ns]))
            if self.now_ns >= end_ns and not any(deadline <= end_ns for deadline in deadlines):
                return
            for name, group in self.groups.items():
                self.do(name, group.on_time(self.now_ns))

    def kill(self, name: bytes) -> None:
        """A server's process ends, and its lock with it."""
        del self.groups[name]
        if self.holder == name:
            self.holder = b""

    def states(self) -> list[str]:
        """The states, in the order in which the servers were named."""
        return [group.state for group in self.groups.values()]


def heartbeat(name: bytes, wall_ns: int) -> bytes:
    """What an active server says."""
    return encode_control_message(GROUP_HEARTBEAT, name, encode_moment(wall_ns))


def test_the_first_one_becomes_active_when_nobody_was_heard_for_a_while() -> None:
    world = World(b"a")
    world.advance(PATIENCE_NS - 1)
    assert (world.states(), world.activated, world.sent) == ([STANDBY], [], [])
    world.advance(1)
    assert (world.states(), world.activated) == ([ACTIVE], [b"a"])
    assert world.lines[b"a"] == [STANDBY_LINE, ACTIVE_LINE]
    at_ns = world.now_ns
    world.advance(3 * HEARTBEAT_NS)
    assert [sent_ns - at_ns for sent_ns, _, _ in world.sent] == [0, HEARTBEAT_NS, 2 * HEARTBEAT_NS, 3 * HEARTBEAT_NS]
    said = decode_control_message(world.sent[-1][2])
    assert (said.kind, said.server_id) == (GROUP_HEARTBEAT, b"a")
    assert decode_moment(said.data) == WALL_NS + at_ns, "the moment of its activation, every time"


def test_a_standby_that_hears_the_active_one_does_not_ask_for_the_lock() -> None:
    world = World(b"a")
    world.advance(PATIENCE_NS)
    late = FTGroup(b"b")
    world.groups[b"b"], world.lines[b"b"] = late, []
    world.do(b"b", late.begin(world.now_ns))
    world.advance(60 * SECOND_NS)
    assert world.states() == [ACTIVE, STANDBY]
    assert world.lines[b"b"] == [STANDBY_LINE]
    world.kill(b"a")
    world.advance(PATIENCE_NS)
    assert world.states() == [ACTIVE]
    assert (world.activated, world.lines[b"b"]) == ([b"a", b"b"], [STANDBY_LINE, ACTIVE_LINE])


def test_a_lock_that_somebody_has_is_asked_for_again_and_told_less_and_less() -> None:
    world = World(b"a")
    world.holder = b"somebody of another group"
    told_ns: list[int] = []
    start_ns = world.now_ns
    for _ in range(400):
        before = len(world.lines[b"a"])
        world.advance(PATIENCE_NS)
        if len(world.lines[b"a"]) > before:
            told_ns.append(world.now_ns - start_ns)
    assert world.states() == [STANDBY]
    assert set(world.lines[b"a"][1:]) == {BUSY_LINE}
    steps = [told_ns[0], *(later - earlier for earlier, later in pairwise(told_ns))]
    assert steps[:6] == [step * PATIENCE_NS for step in (1, 1, 2, 4, 7, 13)]
    assert max(steps) == 48 * PATIENCE_NS, "once a minute in the end"
    world.holder = b""
    world.advance(PATIENCE_NS)
    assert world.states() == [ACTIVE]


def test_an_error_is_told_every_time_and_tried_again() -> None:
    world = World(b"a")
    world.errors = ["on purpose", "on purpose"]
    world.advance(2 * PATIENCE_NS)
    assert world.states() == [STANDBY]
    text = "ft: error attempting to get the store lock: ft: fatal error getting the store lock: on purpose"
    assert world.lines[b"a"] == [STANDBY_LINE, text, text]
    world.advance(PATIENCE_NS)
    assert world.states() == [ACTIVE]


def test_an_answer_of_the_store_takes_its_time() -> None:
    """Heartbeats that are heard meanwhile change nothing, and an answer that comes after the end is none."""
    group = FTGroup(b"a")
    group.begin(SECOND_NS)
    assert [type(action) for action in group.on_time(SECOND_NS + PATIENCE_NS)] == [TryLock]
    assert (group.state, group.next_ns()) == (LOCKING, 0)
    assert group.on_message(heartbeat(b"b", WALL_NS), 4 * SECOND_NS) == []
    assert group.on_time(5 * SECOND_NS) == []
    assert group.state == LOCKING
    group.end()
    assert group.on_lock(True, "", 6 * SECOND_NS, WALL_NS) == []
    assert (group.state, group.next_ns()) == (ENDED, 0)


INVALID = [
    b"",
    b"wrong msg",
    b"\x08",
    encode_control_message(PARTITIONING, b"other", encode_moment(0)),
    encode_control_message(0, b"other", encode_moment(0)),
    heartbeat(b"a", 0),
]


@pytest.mark.parametrize("payload", INVALID)
def test_what_is_no_heartbeat_of_another_server_counts_nowhere(payload: bytes) -> None:
    world = World(b"a")
    for _ in range(3):
        world.advance(PATIENCE_NS // 2)
        world.say(b"network", payload)
    assert world.states() == [ACTIVE], "nor does it keep a standby waiting"
    sent = len(world.sent)
    world.say(b"network", payload)
    assert (world.states(), len(world.sent)) == ([ACTIVE], sent + 1)
    assert world.lines[b"a"] == [STANDBY_LINE, ACTIVE_LINE]


def test_a_heartbeat_without_a_moment() -> None:
    """It keeps a standby waiting, as somebody is there; an active one cannot tell who was first, and stays."""
    payload = encode_control_message(GROUP_HEARTBEAT, b"other", b"wrong time")
    world = World(b"a")
    for _ in range(5):
        world.advance(PATIENCE_NS - 1)
        world.say(b"network", payload)
    assert world.states() == [STANDBY]
    world.advance(PATIENCE_NS)
    world.say(b"network", payload)
    assert world.states() == [ACTIVE]
    assert world.lines[b"a"][-1] == "Error decoding activation time: unsupported version 119"


def two_actives() -> World:
    """Two servers that both got the lock, the first one before the second; they do not hear each other yet."""
    world = World(b"first")
    world.advance(PATIENCE_NS)
    second = FTGroup(b"second")
    world.groups[b"second"], world.lines[b"second"] = second, []
    for action in (*second.begin(world.now_ns), *second.on_time(world.now_ns + PATIENCE_NS)):
        assert isinstance(action, Say | TryLock)
    second.on_lock(True, "", world.now_ns + 1, WALL_NS + world.now_ns + 1)
    assert world.states() == [ACTIVE, ACTIVE]
    return world


@pytest.mark.parametrize("first_to_speak", [b"first", b"second"])
def test_of_two_active_servers_the_later_one_ends(first_to_speak: bytes) -> None:
    """Whoever of them is heard first: the earlier one answers at once."""
    world = two_actives()
    group = world.groups[first_to_speak]
    world.now_ns = group.next_ns()
    world.do(first_to_speak, group.on_time(world.now_ns))
    assert world.states() == [ACTIVE, ENDED]
    assert world.aborted == {b"second": 'ft: serverID "first" claims to be active, aborting'}
    if first_to_speak == b"second":
        assert world.lines[b"first"][-1] == 'ft: serverID "second" claims to be active'
    sent = len([name for _, name, _ in world.sent if name == b"second"])
    world.advance(10 * SECOND_NS)
    assert len([name for _, name, _ in world.sent if name == b"second"]) == sent, "it says nothing any more"
    assert world.groups[b"second"].on_message(heartbeat(b"first", 0), world.now_ns) == []


def test_of_two_that_became_active_at_the_same_moment_one_ends() -> None:
    for name, rival, ends in ((b"a", b"b", False), (b"b", b"a", True)):
        group = FTGroup(name)
        group.begin(0)
        group.on_time(PATIENCE_NS)
        group.on_lock(True, "", PATIENCE_NS, WALL_NS)
        actions = group.on_message(heartbeat(rival, WALL_NS), PATIENCE_NS)
        assert any(isinstance(action, Abort) for action in actions) == ends


def test_a_rival_that_does_not_give_way_is_told_of_less_and_less() -> None:
    world = World(b"a")
    world.advance(PATIENCE_NS)
    for _ in range(100):
        world.say(b"network", heartbeat(b"rival", WALL_NS + 10**15))
    assert world.lines[b"a"] == [STANDBY_LINE, ACTIVE_LINE, 'ft: serverID "rival" claims to be active']
    world.advance(SECOND_NS)
    world.say(b"network", heartbeat(b"rival", WALL_NS + 10**15))
    assert len(world.lines[b"a"]) == 4


def test_a_heartbeat_that_cannot_leave_is_told_less_and_less() -> None:
    group = FTGroup(b"a")
    lines = [len(group.on_sent(False, second * SECOND_NS)) for second in range(1, 31)]
    assert [second for second, told in enumerate(lines, 1) if told] == [1, 2, 4, 8, 16]
    action = group.on_sent(False, 100 * SECOND_NS)[0]
    assert isinstance(action, Say) and action.is_error
    assert action.text.startswith("Unable to send FT heartbeat: ")


def test_who_was_not_heard_for_a_while_makes_sure_that_the_store_is_its_own() -> None:
    """It was cut off, and nobody took over: it goes on."""
    world = World(b"a")
    world.advance(PATIENCE_NS)
    world.advance(10 * SECOND_NS)
    assert world.asked == []
    world.cut = {b"a"}
    world.advance(10 * SECOND_NS)
    assert 3 < len(world.asked) < 10
    world.cut.clear()
    sent = len(world.sent)
    world.advance(2 * HEARTBEAT_NS)
    assert len(world.sent) == sent + 2
    assert world.states() == [ACTIVE]


def test_who_lost_the_store_meanwhile_does_not_drive_out_its_successor() -> None:
    """It was first, and would be believed; but it learns from the store that its time is over."""
    world = World(b"old", b"new")
    world.groups[b"new"].end()
    world.advance(PATIENCE_NS)
    world.groups[b"new"] = FTGroup(b"new")
    world.do(b"new", world.groups[b"new"].begin(world.now_ns))
    world.cut, world.holder = {b"old"}, b""
    world.advance(2 * PATIENCE_NS)
    assert (world.states(), world.holder) == ([ACTIVE, ACTIVE], b"new")
    world.cut.clear()
    sent = len(world.sent)
    world.advance(10 * SECOND_NS)
    assert {name for _, name, _ in world.sent[sent:]} == {b"new"}
    assert world.aborted == {}
    assert world.asked.count(b"old") > 1, "it asks again and again, until the store's failure ends it"


def test_who_stood_still_makes_sure_that_the_store_is_its_own() -> None:
    group = FTGroup(b"a")
    group.begin(0)
    group.on_time(PATIENCE_NS)
    now_ns = PATIENCE_NS
    group.on_lock(True, "", now_ns, WALL_NS)
    group.on_sent(True, now_ns)
    now_ns += 60 * SECOND_NS
    assert [type(action) for action in group.on_time(now_ns)] == [Confirm]
    assert group.on_time(now_ns + HEARTBEAT_NS) == [], "one question at a time"
    later = group.on_message(heartbeat(b"b", WALL_NS + SECOND_NS), now_ns + HEARTBEAT_NS)
    assert [type(action) for action in later] == [Say], "nor does it answer others before it knows"
    assert group.on_confirmed(False, now_ns + HEARTBEAT_NS) == []
    now_ns += 2 * HEARTBEAT_NS
    assert [type(action) for action in group.on_time(now_ns)] == [Confirm]
    assert [type(action) for action in group.on_confirmed(True, now_ns)] == [Send]
    group.end()
    assert group.on_confirmed(True, now_ns) == []


events = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(0, 3 * SECOND_NS)),
        st.tuples(st.just("kill"), st.integers(0, 2)),
        st.tuples(st.just("start"), st.integers(0, 2)),
        st.tuples(st.just("error"), st.just(0)),
        st.tuples(st.just("noise"), st.integers(0, len(INVALID) - 1)),
    ),
    max_size=40,
)


@given(events)
def test_whatever_happens_one_at_most_is_active_and_one_is_in_the_end(script: list[tuple[str, int]]) -> None:
    """As long as the lock is one, and a server that is killed loses it."""
    names = [b"x", b"y", b"z"]
    world = World(*names)
    for step, value in script:
        name = names[value % 3]
        if step == "advance":
            world.advance(value)
        elif step == "kill" and name in world.groups:
            world.kill(name)
        elif step == "start" and name not in world.groups:
            world.groups[name] = FTGroup(name)
            world.do(name, world.groups[name].begin(world.now_ns))
        elif step == "error":
            world.errors.append("on purpose")
        elif step == "noise":
            world.say(b"network", INVALID[value])
        active = [name for name, group in world.groups.items() if group.state == ACTIVE]
        assert active == ([world.holder] if world.holder else [])
    world.errors.clear()
    world.advance(2 * PATIENCE_NS)
    assert world.states().count(ACTIVE) == min(len(world.groups), 1)
    assert world.aborted == {}
