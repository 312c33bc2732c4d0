"""What a rank knows of a stream is what all know: a group may go on from the state of any of them."""

from __future__ import annotations

import pytest

from flashtalk import Config
from flashtalk.engine.engine import Engine
from flashtalk.parallel.groups import Ranks
from tests.parallel.pool import Pool
from tests.parallel.test_engine_ranks import CHUNK, odd, together
from tests.pipeline.conftest import picture_of, speech


def states(ranks: Ranks, config: Config) -> list[bytes]:
    """Of a new stream, and after each of two chunks."""
    with Engine(together(config, ranks), ranks) as engine:
        session = engine.open(picture_of(0), prompt="hello", seed=4)
        session.push(speech(2 * CHUNK))
        taken = [session.snapshot()]
        for _ in range(2):
            session.step()
            taken.append(session.snapshot())
    return taken


@pytest.mark.parametrize("world", [2, 3])
def test_all_ranks_hold_the_same_state(pool: Pool, tiny_config: Config, world: int) -> None:
    first, *others = pool.run(world, states, odd(tiny_config))
    assert len(set(first)) == 3
    assert all(other == first for other in others)
