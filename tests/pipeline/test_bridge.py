"""Laws of the bridge between chunks: it closes the gap to the last frame shown, and touches nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flashtalk.config import Config
from flashtalk.config_file import replace as changed
from flashtalk.config_overlap import OverlapConfig
from flashtalk.errors import ConfigError
from flashtalk.pipeline.bridge import Bridge
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.session import Session
from tests.pipeline.conftest import OpenSession, speech

NEW, FRAMES = 28, 6


def film(session: Session, chunks: int = 3) -> np.ndarray:
    made = session.feed(speech(chunks * NEW * 640))
    return np.concatenate([chunk.frames_FHWC for chunk in made]).astype(int)


def test_only_the_first_frames_after_a_border_change(open_session: OpenSession) -> None:
    plain, bridged = film(open_session()), film(open_session(bridge_frames=FRAMES))
    touched = [i for i in range(len(plain)) if i >= NEW and i % NEW < FRAMES]
    others = [i for i in range(len(plain)) if i not in touched]
    assert np.array_equal(plain[others], bridged[others])
    assert all((plain[i] != bridged[i]).any() for i in touched)


def test_a_border_jumps_less(open_session: OpenSession) -> None:
    plain, bridged = film(open_session()), film(open_session(bridge_frames=FRAMES))
    for border in (NEW, 2 * NEW):
        jumps = [np.abs(frames[border] - frames[border - 1]).mean() for frames in (plain, bridged)]
        assert jumps[1] < 0.8 * jumps[0]


def test_motion_goes_on_and_a_gap_is_closed() -> None:
    """Even motion is no gap: nothing is added. Else all but a seventh is, less and less, in pieces too."""
    pixels = 0.004 * torch.arange(10.0).view(1, 1, 10, 1, 1).expand(1, 3, 10, 4, 4)
    levels = round((1 - 0.004) * 127.5)
    for gap in (0, 26):
        bridge = Bridge(np.full((4, 4, 3), levels + gap, np.uint8), FRAMES, torch.device("cpu"))
        bridge.begin(torch.full((1, 3, 1, 4, 4), -0.004), pixels[:, :, :4])
        made = torch.cat([bridge.across(piece) for piece in pixels.split(4, dim=2)], dim=2)
        added = (made - pixels)[0, 0, :, 0, 0]
        wanted = [max(0.0, gap / 127.5 * (1 - place / (FRAMES + 1))) for place in range(1, 11)]
        torch.testing.assert_close(added, torch.tensor(wanted), rtol=0, atol=0.5 / 127.5)


def test_frames_that_leave_early_are_bridged_too(open_session: OpenSession) -> None:
    session, early = open_session(bridge_frames=FRAMES), open_session(bridge_frames=FRAMES)
    early._networks = replace(early._networks, overlap=OverlapConfig(early_frames=True))
    assert np.abs(film(session) - film(early)).max() <= 1


def test_a_saved_stream_goes_on_over_the_bridge(open_session: OpenSession, networks: Networks, tmp_path: Path) -> None:
    whole = film(open_session(bridge_frames=FRAMES))
    session = open_session(bridge_frames=FRAMES)
    sound = speech(3 * NEW * 640)
    first = [chunk.frames_FHWC for chunk in session.feed(sound[: NEW * 640])]
    session.save(tmp_path / "stream")
    again = Session.restore(networks, tmp_path / "stream")
    rest = [chunk.frames_FHWC for chunk in again.feed(sound[NEW * 640 :])]
    assert np.array_equal(np.concatenate([*first, *rest]), whole)


def test_another_portrait_is_a_cut(open_session: OpenSession) -> None:
    """Nothing of the old picture shows in the new one."""
    films = []
    for frames in (0, FRAMES):
        session, other = open_session(bridge_frames=frames), open_session(portrait=1)
        list(session.feed(speech(NEW * 640)))
        session.set_portrait(other._conditioning.portrait)
        films.append(np.concatenate([chunk.frames_FHWC for chunk in session.feed(speech(NEW * 640, 1))]))
    assert np.array_equal(films[0], films[1])


@pytest.mark.parametrize("frames", [-1, 24])
def test_a_bridge_ends_before_the_motion_frames(tiny_config: Config, frames: int) -> None:
    with pytest.raises(ConfigError, match="bridge_frames"):
        changed(tiny_config, {"stream.bridge_frames": frames})
