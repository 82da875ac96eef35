"""Publishing in order: what waits for what, what steps aside, and how long a lane rests."""

import asyncio

import pytest

from durabus.client.errors import (
    ClientError,
    ClosedError,
    PossiblyDuplicatedError,
    PublishNotSentError,
    PublishRefusedError,
    PublishTooLargeError,
    PublishUnknownError,
    UsageError,
)
from durabus.outbox.lanes import Rests, Row, publish_rows

pytestmark = pytest.mark.once


def row(number: int, lane: str) -> Row:
    return Row(number, lane, "subject", f"id-{number}", b"%d" % number, 0)


class Server:
    """Answers when it is told to, each publish with what is said of its payload."""

    def __init__(self, answers: dict[int, ClientError] | None = None) -> None:
        self.begun: list[int] = []
        self.answers = answers or {}

    async def publish(self, subject: str, payload: bytes) -> object:
        assert subject == "subject"
        number = int(payload)
        self.begun.append(number)
        await asyncio.sleep(0)
        if number in self.answers:
            raise self.answers[number]
        return None


async def test_lanes_go_beside_each_other_and_their_events_one_by_one() -> None:
    server = Server()
    rows = [row(number, "ab"[number % 2]) for number in range(6)]
    outcome = await publish_rows(server.publish, rows, is_pipelined=False)
    assert server.begun == [0, 1, 2, 3, 4, 5]
    assert [each.id for each in outcome.published] == [0, 1, 2, 3, 4, 5]
    alone = Server()
    await publish_rows(alone.publish, [row(0, "a"), row(1, "a"), row(2, "b")], is_pipelined=False)
    assert alone.begun == [0, 2, 1], "1 waits for 0"
    pipelined = Server()
    await publish_rows(pipelined.publish, [row(0, "a"), row(1, "a"), row(2, "b")], is_pipelined=True)
    assert pipelined.begun == [0, 1, 2]


@pytest.mark.parametrize(
    "error",
    [
        PublishRefusedError("refused: stan: too many channels", "c", "g"),
        PublishNotSentError("never sent", "c", "g"),
        PublishUnknownError("not acknowledged in time", "c", "g"),
    ],
)
async def test_what_cannot_be_published_now_ends_its_lane(error: ClientError) -> None:
    server = Server({1: error})
    rows = [row(0, "a"), row(1, "a"), row(2, "a"), row(3, "b")]
    outcome = await publish_rows(server.publish, rows, is_pipelined=False)
    assert sorted(each.id for each in outcome.published) == [0, 3]
    assert [(each.id, reason) for each, reason in outcome.failed] == [(1, error.what)]
    assert 2 not in server.begun


@pytest.mark.parametrize(
    "error",
    [
        PublishRefusedError("refused: stan: invalid publish request", "c", "g"),
        PublishTooLargeError("2000000 bytes as a message", "c", "g"),
        UsageError("'a b' is no name of a channel"),
    ],
)
async def test_what_never_can_be_steps_aside(error: ClientError) -> None:
    outcome = await publish_rows(Server({0: error}).publish, [row(0, "a"), row(1, "a")], is_pipelined=False)
    assert [(each.id, reason) for each, reason in outcome.refused] == [(0, error.what)]
    assert [each.id for each in outcome.published] == [1]


async def test_stored_twice_is_stored() -> None:
    server = Server({0: PossiblyDuplicatedError("sent 2 times", "c", "g")})
    outcome = await publish_rows(server.publish, [row(0, "a")], is_pipelined=False)
    assert [each.id for each in outcome.published] == [0]


async def test_the_end_of_the_bus() -> None:
    closed = ClosedError("the bus is closed")
    outcome = await publish_rows(Server({1: closed}).publish, [row(n, "a") for n in range(3)], is_pipelined=False)
    assert outcome.error is closed
    assert [each.id for each in outcome.published] == [0]
    assert not outcome.failed


def test_a_row_says_which_event_it_is() -> None:
    assert str(row(7, "a")) == "event id-7 for 'subject' (row 7)"


def test_lanes_rest_longer_each_time() -> None:
    rests = Rests(1e-9, 4e-9)
    assert rests.wait_ns(0) is None
    assert [rests.begin("a", 0) for _ in range(4)] == [1, 2, 4, 4]
    assert rests.begin("b", 2) == 1
    assert sorted(rests.resting(2)) == ["a", "b"]
    assert rests.wait_ns(2) == 1
    assert rests.resting(3) == ["a"]
    rests.end("a")
    assert rests.resting(0) == ["b"]
    assert rests.begin("a", 0) == 1, "from the beginning"
