"""Single messages of a store, looked at between `recover` and everything else: whether they are encrypted, and how."""

import asyncio
from collections.abc import Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.encryption_bodies import ENCRYPTED, PLAIN, UNREADABLE, ChannelCipher, look_encrypted
from durabus.streaming.records import decode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, ChannelState, Recovered, Store, StoreListener
from durabus.wire.varint import DecodeError

__all__ = ["NOT_DELIVERED", "channel_names", "find_encrypted", "try_key"]

NOT_DELIVERED: Final = (
    "cannot be decrypted: it was encrypted with another key, or it is damaged. It stays in the store, and neither it nor "
    "what follows it is delivered; start with the key that it was encrypted with"
)
_NOT_DECRYPTED: Final = (
    "looks encrypted, and is delivered as it is stored: if it is encrypted, start with -encrypt and its key"
)
_CHANNELS_MAX: Final = 16
"""Channels that are looked at: those that were written to last."""
_PATIENCE_S: Final = 10.0
"""How long the looking may take; the store may have other troubles."""
_BYTES_MAX: Final = 1
"""Of a page: so it has one message."""


class _Sampler(StoreListener):
    """Asks for one message at a time, as the listener of a store that has no other one yet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._count = 0
        self._answer: asyncio.Future[list[bytes]] | None = None
        store.bind(self)

    async def message(self, channel_id: int, sequence: int) -> bytes:
        """A message as it is stored; empty when it cannot be had."""
        self._count += 1
        self._answer = asyncio.get_running_loop().create_future()
        # The core counts upwards from 1: should this be answered too late, nobody takes it for something else.
        self._store.read(-self._count, channel_id, sequence, 1, _BYTES_MAX)
        bodies = await self._answer
        return bodies[0] if bodies else b""

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        if request == -self._count and self._answer is not None and not self._answer.done():
            self._answer.set_result(bodies)


def channel_names(recovered: Recovered) -> dict[int, bytes]:
    """The names of all channels by their ids. A record that has none is left out: the core says so, and leaves it alone."""
    names: dict[int, bytes] = {}
    for kind, number, value in recovered.state:
        if kind == KIND_CHANNEL:
            try:
                names[int(number)] = decode_channel_name(value)
            except (DecodeError, ValueError):
                continue
    return names


def _newest(recovered: Recovered, names: dict[int, bytes]) -> list[ChannelState]:
    """The channels to look at: of those that have a name and messages."""
    known = [
        state
        for state in recovered.channels
        if state.channel_id in names and 0 < state.last_sequence >= state.first_sequence
    ]
    known.sort(key=lambda state: state.last_timestamp_ns, reverse=True)
    return known[:_CHANNELS_MAX]


async def try_key(store: Store, recovered: Recovered, cipher: Callable[[int], ChannelCipher]) -> list[str]:
    """What of `store` cannot be decrypted, in words; raises StoreError when the key fits to nothing.

    `cipher` is that of a channel, by its id. Becomes the store's listener; whoever was it before has to bind again.
    """
    names = channel_names(recovered)
    channels = _newest(recovered, names)
    if not channels:
        return []
    sampler = _Sampler(store)
    found: list[tuple[int, str]] = []
    try:
        async with asyncio.timeout(_PATIENCE_S):
            for state in channels:
                # The oldest one tells the same of a channel, unless another key was used in between.
                for sequence in dict.fromkeys((state.last_sequence, state.first_sequence)):
                    body = await sampler.message(state.channel_id, sequence)
                    kind = cipher(state.channel_id).kind(body, sequence)
                    found.append((kind, _place(sequence, names[state.channel_id])))
                    if kind in (PLAIN, ENCRYPTED):
                        break
    except TimeoutError:
        return []
    strange = [place for kind, place in found if kind == UNREADABLE]
    if strange and all(kind != ENCRYPTED for kind, _ in found):
        raise StoreError(
            f"the encryption key is not that of the stored messages: {strange[0]} cannot be decrypted with it; "
            "start with the key that they were encrypted with"
        )
    return [f"{place} {NOT_DELIVERED}" for kind, place in found if kind not in (PLAIN, ENCRYPTED)]


async def find_encrypted(store: Store, recovered: Recovered) -> list[str]:
    """A warning when messages of `store`, which nobody decrypts, look encrypted. Becomes the store's listener."""
    names = channel_names(recovered)
    channels = _newest(recovered, names)
    if not channels:
        return []
    sampler = _Sampler(store)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            for state in channels:
                body = await sampler.message(state.channel_id, state.last_sequence)
                if look_encrypted(body, state.last_sequence):
                    place = _place(state.last_sequence, names[state.channel_id])
                    return [f"{place} {_NOT_DECRYPTED}"]
    except TimeoutError:
        pass
    return []


def _place(sequence: int, name: bytes) -> str:
    return f'message {sequence} of channel "{name.decode("utf-8", "backslashreplace")}"'
