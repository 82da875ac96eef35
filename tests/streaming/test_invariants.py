"""The nine invariants that a client can see, in many small worlds. A failure says its seed, and what happened before."""

import os

import pytest

from tests.streaming.simulation import World

SEEDS = int(os.environ.get("DURABUS_SEEDS", "120"))
STEPS = 150
TRACE_LINES = 60


def live(seed: int, steps: int = STEPS) -> World:
    """One world from its beginning to its end."""
    world = World(seed)
    try:
        world.run(steps)
    except AssertionError as error:
        trace = "\n".join(world.trace[-TRACE_LINES:])
        raise AssertionError(f"seed {seed}, step {len(world.trace)}: {error}\n{trace}") from error
    return world


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_world_of_faults(seed: int) -> None:
    live(seed)


def test_a_seed_is_a_world() -> None:
    assert live(7).trace == live(7).trace
