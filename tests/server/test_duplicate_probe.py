"""The question whether there is another server of this cluster."""

import asyncio

import pytest

from durabus.broker.bus import Receiver
from durabus.broker.router import Router
from durabus.errors import StartError
from durabus.server.duplicate_probe import refuse_duplicate
from durabus.wire.operations import Publish
from tests.wire import stan_oracle

INBOX = b"_INBOX.probe"


class Server(Receiver):
    """Answers what it is asked with fixed bytes; keeps what it heard."""

    def __init__(self, router: Router, answer: bytes) -> None:
        self.router = router
        self.answer = answer
        self.heard: list[Publish] = []

    def on_publish(self, publish: Publish) -> None:
        self.heard.append(publish)
        if publish.reply:
            self.router.publish(publish.reply, b"", self.answer)


async def ask(router: Router, prefix: bytes = b"_STAN.discover") -> None:
    """Ask as a server of `mine` does."""
    await refuse_duplicate(router, "mine", prefix + b".mine", INBOX, router.flush)


@pytest.mark.row(117)
async def test_another_server_is_taken_leave_of_and_refused() -> None:
    router = Router()
    response = stan_oracle.encode("ConnectResponse", {"close": b"close.here"})
    other, close = Server(router, response), Server(router, b"")
    router.subscribe(b"_STAN.discover.mine", other)
    router.subscribe(b"close.here", close)
    with pytest.raises(StartError, match='discovered another streaming server with cluster ID "mine"'):
        await ask(router)
    request = stan_oracle.decode("ConnectRequest", other.heard[0].payloads[0])
    assert request is not None
    assert request["client_id"] == b"mine"
    assert request["heartbeat_inbox"] == INBOX
    assert stan_oracle.decode("CloseRequest", close.heard[0].payloads[0]) == {"client_id": b"mine"}
    assert not router.has_interest(INBOX)


async def test_a_server_that_refuses_us_is_a_server() -> None:
    router = Router()
    router.subscribe(b"_STAN.discover.mine", Server(router, stan_oracle.encode("ConnectResponse", {"error": b"no"})))
    with pytest.raises(StartError):
        await ask(router)


@pytest.mark.row(117)
@pytest.mark.parametrize("answer", [b"\xff", b"\x08\x01"])
async def test_what_is_no_answer_of_a_server(answer: bytes) -> None:
    router = Router()
    router.subscribe(b"_STAN.discover.mine", Server(router, answer))
    await asyncio.wait_for(ask(router), 5)


async def test_servers_are_looked_for_where_clients_look_for_them() -> None:
    router = Router()
    router.subscribe(b"_FOO.mine", Server(router, b""))
    await asyncio.wait_for(ask(router), 5)
    with pytest.raises(StartError):
        await ask(router, b"_FOO")


async def test_nobody_answers() -> None:
    router = Router()
    await asyncio.wait_for(ask(router), 5)
    assert not router.has_interest(INBOX)
