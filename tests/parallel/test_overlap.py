"""Frames that leave early on several ranks: a codec split in rows is cut in time as one rank's is."""

from __future__ import annotations

import numpy as np

from flashtalk.config import Config
from flashtalk.config_file import replace
from tests.parallel.pool import Pool
from tests.parallel.test_engine_ranks import film, odd, split_film


def test_a_session_whose_frames_leave_early_is_the_one_rank_session(pool: Pool, tiny_wan_config: Config) -> None:
    config = odd(tiny_wan_config)
    alone = film(config)
    early = replace(config, {"runtime.early_frames": True, "runtime.fused_codec": True})
    for frames in pool.run(3, split_film, early):
        assert np.abs(frames - alone).max() <= 1
        assert (frames != alone).mean() < 1e-3
