"""Is there another server of this cluster on the network? Asked once, at the start (docs/protocol.md §10.6).

Two servers that both answer to one cluster ID would each store some of the messages, so the second one must not start.
The question is a ConnectRequest under the cluster's own name; whoever answers it is a server.
"""

import asyncio
from collections.abc import Callable

from durabus.broker.bus import Bus, Receiver
from durabus.errors import StartError
from durabus.wire import framing
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import (
    DecodeError,
    decode_connect_response,
    encode_close_request,
    encode_connect_request,
)

__all__ = ["refuse_duplicate"]

_ANSWER_S = 0.25


class _Answer(Receiver):
    """Waits for the first answer that a streaming server gives."""

    def __init__(self) -> None:
        self.close_subject: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def on_publish(self, publish: Publish) -> None:
        if self.close_subject.done() or framing.is_no_responders(publish):
            return
        try:
            close_subject, _ = decode_connect_response(publish.payloads[0])
        except DecodeError:
            return
        self.close_subject.set_result(close_subject)


async def refuse_duplicate(bus: Bus, cluster_id: str, discover: bytes, inbox: bytes, flush: Callable[[], None]) -> None:
    """Ask on the subject `discover`, and wait a quarter of a second for an answer on `inbox`; raises StartError for one."""
    name = cluster_id.encode()
    answer = _Answer()
    bus.subscribe(inbox, answer)
    try:
        bus.publish(discover, inbox, encode_connect_request(name, inbox))
        flush()
        done, _ = await asyncio.wait([answer.close_subject], timeout=_ANSWER_S)
        if not done:
            return
        close_subject = answer.close_subject.result()
        if close_subject:
            bus.publish(close_subject, b"", encode_close_request(name))
        raise StartError(f'discovered another streaming server with cluster ID "{cluster_id}"')
    finally:
        bus.unsubscribe(inbox)
        flush()
