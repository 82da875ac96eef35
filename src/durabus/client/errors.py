"""What a client can be told: each error says what happened and what to do next, and its class is what code looks at.

ClientError
 ├─ UsageError               the call cannot be right: a name that is none, a number out of range
 ├─ ConnectError             no session within the time given
 │   ├─ NotAuthorizedError       the NATS server does not take the credentials
 │   └─ ClientIdInUseError       another client that answers has this client ID
 ├─ ReplacedError            another instance took this client's ID: this one has stopped
 ├─ ClosedError              the bus, or the subscription, was closed by its own program
 ├─ RequestTimeoutError      a request was not answered in time
 ├─ SubscriptionRefusedError the server refused a subscription, or to end one
 │   └─ DurableInUseError        the durable is online already
 ├─ WindowFullError          too many publishes wait for their acknowledgement
 ├─ FlushError               some of what was published since the last flush failed; has them in `failures`
 └─ PublishError             what became of one publish
     ├─ PublishRefusedError      the server said no: not stored
     │   └─ PublishTooLargeError     it is larger than the server takes, now and the next time
     ├─ PublishNotSentError      it never left: not stored
     ├─ PublishUnknownError      it was sent, and nobody knows: stored, or not
     └─ PossiblyDuplicatedError  it is stored, perhaps twice (only raised where that was asked for)
"""

from typing import ClassVar

from durabus.errors import DurabusError

__all__ = [
    "ClientError",
    "ClientIdInUseError",
    "ClosedError",
    "ConnectError",
    "DurableInUseError",
    "FlushError",
    "NotAuthorizedError",
    "PossiblyDuplicatedError",
    "PublishError",
    "PublishNotSentError",
    "PublishRefusedError",
    "PublishTooLargeError",
    "PublishUnknownError",
    "ReplacedError",
    "RequestTimeoutError",
    "SubscriptionRefusedError",
    "UsageError",
    "WindowFullError",
]


class ClientError(DurabusError):
    """The root: `what` happened, and the `next_step`; its text is both."""

    next_step: ClassVar[str] = ""

    def __init__(self, what: str) -> None:
        """Say `what` happened; the class knows what can be done about it."""
        self.what = what
        super().__init__(f"{what}; {self.next_step}" if self.next_step else what)


class UsageError(ClientError, ValueError):
    """The call cannot be right, whatever the server says."""


class ConnectError(ClientError):
    """There is no session with a streaming server, and the time for it is over."""

    next_step = "check that the server runs, its address, and the cluster ID"


class NotAuthorizedError(ConnectError):
    """The NATS server is there and does not take the credentials."""

    next_step = "check user, password and token"


class ClientIdInUseError(ConnectError):
    """Another client has this client ID, and answers when the server asks whether it is still there."""

    next_step = "give each instance a client ID of its own, or end the other one"


class ReplacedError(ClientError):
    """Another instance has taken this client's ID. This one has stopped for good: it will not take it back."""

    next_step = "end this instance, or give each a client ID of its own"


class ClosedError(ClientError):
    """The bus or the subscription was closed before, by the program itself."""

    next_step = "make a new one"


class RequestTimeoutError(ClientError):
    """The server did not answer a request in time; it may have carried it out."""

    next_step = "try again, and look at the server's log when it lasts"


class SubscriptionRefusedError(ClientError):
    """The server refused to begin or to end a subscription; `server_text` is what it said."""

    next_step = "see docs/protocol.md §4.3 for what the server's words mean"

    def __init__(self, what: str, server_text: str) -> None:
        """Say `what` was asked for, and keep the server's words."""
        self.server_text = server_text
        super().__init__(f"{what}: {server_text}")


class DurableInUseError(SubscriptionRefusedError):
    """A durable subscription of this name is online already, in this client."""

    next_step = "close the other subscription first, or run the server with -replace_durable"


class WindowFullError(ClientError):
    """As many publishes as the window allows wait for their acknowledgement."""

    next_step = "await publish(), wait_room() or flush(), or make the window larger"


class PublishError(ClientError):
    """What became of one publish: `channel` and `guid` name it."""

    is_stored: ClassVar[bool | None] = None
    """True: the event is stored; False: it is not; None: nobody knows."""

    def __init__(self, what: str, channel: str, guid: str) -> None:
        """Say `what` happened to the publish."""
        self.channel = channel
        self.guid = guid
        super().__init__(f"publish to {channel!r} ({guid}): {what}")


class PublishRefusedError(PublishError):
    """The server refused the event: it is not stored."""

    next_step = "it is safe to publish it again when the reason is gone"
    is_stored = False


class PublishTooLargeError(PublishRefusedError):
    """The event is larger than the server takes: it was not sent, and is not stored."""

    next_step = "make it smaller, or raise max_payload in the server's configuration"


class PublishNotSentError(PublishError):
    """The event never left this process, as there was no session within its time: it is not stored."""

    next_step = "it is safe to publish it again"
    is_stored = False


class PublishUnknownError(PublishError):
    """The event was sent, and no acknowledgement came within its time: it may be stored, or not."""

    next_step = "publish it again only if a listener can do with the same event twice"


class PossiblyDuplicatedError(PublishError):
    """The event is stored, but it was sent more than once, and may be stored twice.

    Raised only with `connect(..., raises_possibly_duplicated=True)`; else `Publication.is_possibly_duplicated` says it.
    """

    next_step = "do not publish it again"
    is_stored = True


class FlushError(ClientError):
    """Some of what was published without waiting failed: `failures` has the error of each, up to a thousand of them."""

    next_step = "look at each of `failures`: its class says whether the event is stored"

    def __init__(self, failures: list[PublishError], count: int) -> None:
        """Keep the errors; `count` is how many there were in all."""
        self.failures = failures
        self.count = count
        super().__init__(f"{count} publishes failed, the first one: {failures[0].what}")
