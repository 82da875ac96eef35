"""What the server answers monitoring with."""

import dataclasses

import pytest

from durabus.monitoring.state import Identity, StateSource
from durabus.monitoring.steps import finish
from tests.monitoring.sources import IDENTITY, STATE, FixedSource


def test_a_state_is_a_value() -> None:
    assert dataclasses.replace(STATE) == STATE
    with pytest.raises(dataclasses.FrozenInstanceError):
        STATE.clients = 1  # type: ignore[misc]


def test_the_state_is_that_of_a_single_server_unless_told_otherwise() -> None:
    assert Identity(cluster_id="a", server_id="b", now_ns=1).state == "STANDALONE"


def test_a_source_is_any_object_that_can_answer() -> None:
    source: StateSource = FixedSource()
    assert source.is_ready()
    assert source.identity() == IDENTITY
    assert finish(source.server()) == STATE
