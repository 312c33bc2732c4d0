"""Ceilings on a GPU: every kernel of the published sizes runs, and stands in the order that the hardware gives them."""

from __future__ import annotations

import pytest
import torch

from flashtalk.engine.ceilings import (
    ATTENTION,
    COPY,
    EXCHANGE,
    FLOAT8,
    NAMES,
    PRODUCTS,
    SERVED_FLOAT8,
    SERVED_PRODUCTS,
    measure_ceilings,
)
from flashtalk.engine.ladder import rungs
from flashtalk.ops.float8 import why_not_float8

pytestmark = pytest.mark.gpu


def test_ceilings_of_the_published_sizes() -> None:
    found = measure_ceilings(rungs()["h200x1"][0])
    assert tuple(found) == NAMES
    rates = {name: ceiling.value for name, ceiling in found.items() if ceiling.value}
    eight_bits = () if why_not_float8(torch.device("cuda")) else (FLOAT8, SERVED_FLOAT8)
    assert set(rates) == {PRODUCTS, SERVED_PRODUCTS, ATTENTION, COPY, *eight_bits}, found
    assert found[EXCHANGE].of == "one rank has nobody to exchange with"
    # The same kernel on one side as large as the other: neither is another thing than it says.
    assert 0.5 < rates[SERVED_PRODUCTS] / rates[PRODUCTS] < 1.5
    assert rates[ATTENTION] < 1.5 * rates[PRODUCTS]
    if eight_bits:
        assert 1.2 < rates[FLOAT8] / rates[PRODUCTS] < 2.5, "8 bits are twice as fast at best"
