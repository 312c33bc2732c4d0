"""Laws of work in another order: frames that leave early, sound that is encoded ahead. Results stay what they are."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from flashtalk import config_file
from flashtalk.config import Config
from flashtalk.config_overlap import OverlapConfig
from flashtalk.engine.build import build_networks
from flashtalk.errors import EngineError
from flashtalk.ops.streams import SideStream
from flashtalk.pipeline.chunk import first_apart
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait
from flashtalk.pipeline.listener import Listener
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.session import Session
from flashtalk.types import VideoChunk
from tests.pipeline.conftest import OpenSession, picture_of, speech

CHUNK = 28 * 640
Change = Callable[[Session], object]


# Frames that leave early.


def opened(networks: Networks, config: Config, *, early: bool, **changes: object) -> Session:
    networks = replace(networks, overlap=OverlapConfig(early_frames=early))
    settings = {"stream.audio_context_s": 2.0, "stream.steps": 2, **{f"stream.{k}": v for k, v in changes.items()}}
    stream = config_file.replace(config, settings).stream
    with torch.inference_mode():
        portrait = make_portrait(networks, picture_of(0), stream.chunk_frames)
        return Session(networks, stream, make_conditioning(networks, portrait, ""))


def watched(session: Session) -> tuple[list[VideoChunk], list[list[np.ndarray]]]:
    """All chunks that are ready, and the pieces that came before each."""
    chunks, pieces = [], []
    while session.ready():
        pieces.append([])
        chunks.append(session.step(lambda frames_FHWC: pieces[-1].append(frames_FHWC.copy())))
    return chunks, pieces


@pytest.mark.parametrize("name", ["tiny_config", "tiny_wan_config"])
def test_frames_that_leave_early_are_those_of_the_chunk(name: str, request: pytest.FixtureRequest) -> None:
    """Any cut of a decode is the same function: a level of 255 apart at most, where a sum rounds otherwise."""
    config = request.getfixturevalue(name)
    networks = build_networks(config)
    sound, made = speech(2 * CHUNK + 9 * 640 + 100), []
    for early in (False, True):
        session = opened(networks, config, early=early, first_chunk_frames=17)
        session.push(sound)
        session.flush()
        chunks, pieces = watched(session)
        for chunk, some in zip(chunks, pieces, strict=True):
            assert np.array_equal(np.concatenate(some), chunk.frames_FHWC)
        wanted = [[4, 8], [4, 24], [4, 22]] if early else [[12], [28], [26]]
        assert [[len(piece) for piece in some] for some in pieces] == wanted
        made.append(np.concatenate([chunk.frames_FHWC for chunk in chunks]).astype(int))
    assert np.abs(made[0] - made[1]).max() <= 1
    assert made[0].std() > 0


def test_a_last_piece_beyond_the_sound_is_not_given(open_session: OpenSession, networks: Networks) -> None:
    session = open_session()
    session._networks = replace(networks, overlap=OverlapConfig(early_frames=True))
    session.push(speech(3 * 640))
    session.flush()
    chunks, pieces = watched(session)
    assert [len(piece) for piece in pieces[0]] == [3] == [len(chunks[0].frames_FHWC)]


def test_the_first_frames_leave_before_the_others_are_decoded(tiny_wan_config: Config) -> None:
    networks = build_networks(tiny_wan_config)
    session = opened(networks, tiny_wan_config, early=True)
    happened: list[str] = []
    codec = networks.codec
    assert isinstance(codec, torch.nn.Module)
    codec.decoder.register_forward_pre_hook(lambda *_: happened.append("decode"))
    codec.encoder.register_forward_pre_hook(lambda *_: happened.append("encode"))
    session.push(speech(CHUNK))
    session.step(lambda _frames: happened.append("frames"))
    assert happened == ["decode", "frames", "decode", "frames", "encode"]


def test_a_broken_piece_is_given_to_nobody(tiny_wan_config: Config) -> None:
    networks = build_networks(tiny_wan_config)
    session = opened(networks, tiny_wan_config, early=True)
    codec = networks.codec
    assert isinstance(codec, torch.nn.Module)
    decoded: list[int] = []

    def spoil(_module: torch.nn.Module, _inputs: object, pixels: Tensor) -> Tensor:
        decoded.append(pixels.shape[2])
        return pixels * torch.nan if len(decoded) == 2 else pixels

    hook = codec.decoder.register_forward_hook(spoil)
    session.push(speech(CHUNK))
    given_frames: list[int] = []
    with pytest.raises(EngineError) as caught:
        session.step(lambda frames_FHWC: given_frames.append(len(frames_FHWC)))
    assert caught.value.code == "not_finite"
    assert (decoded, given_frames) == ([9, 24], [4])
    hook.remove()
    assert len(session.step().frames_FHWC) == 28


@given(st.integers(0, 5), st.integers(0, 12), st.sampled_from([1, 2, 4, 8]))
def test_the_first_piece_is_the_shortest_with_a_new_frame(motion: int, more: int, stride: int) -> None:
    motion_frames, latent_frames = 1 + stride * motion, motion + 2 + more
    sizes = first_apart(latent_frames, motion_frames, stride)
    assert sum(sizes) == latent_frames
    assert all(size > 0 for size in sizes)
    assert 1 + stride * (sizes[0] - 1) > motion_frames
    assert 1 + stride * (sizes[0] - 2) <= motion_frames


# Sound that is encoded ahead. On a CPU sessions do not; here they are made to, in their turn.


class Counted:
    """An audio encoder that tells when it was asked."""

    def __init__(self, networks: Networks, happened: list[str]) -> None:
        self._encoder, self._happened = networks.audio_encoder, happened

    def __call__(self, samples_BS: Tensor, frames: int) -> Tensor:
        self._happened.append("listen")
        return self._encoder(samples_BS, frames)


def ahead(session: Session, happened: list[str]) -> Session:
    session._listener = Listener(session.stream, SideStream(torch.device("cpu"), "sound"))
    session._networks = replace(session._networks, audio_encoder=Counted(session._networks, happened))  # type: ignore[arg-type]
    return session


def stepped(session: Session, happened: list[str] | None = None) -> np.ndarray:
    frames = []
    while session.ready():
        if happened is not None:
            happened.append("step")
        frames.append(session.step().frames_FHWC)
    return np.concatenate(frames)


@pytest.mark.parametrize("lookahead", [0, 7])
@pytest.mark.parametrize("samples", [2 * CHUNK, 3 * CHUNK + 4321, CHUNK + 1])
def test_sound_that_is_there_is_encoded_once_and_ahead(open_session: OpenSession, lookahead: int, samples: int) -> None:
    sound, happened = speech(samples), list[str]()
    plain, quick = open_session(lookahead_frames=lookahead), open_session(lookahead_frames=lookahead)
    for session in (plain, ahead(quick, happened)):
        session.push(sound)
        session.flush()
    assert np.array_equal(stepped(plain), stepped(quick, happened))
    assert happened[:3] == ["step", "listen", "listen"]
    assert happened.count("listen") == happened.count("step") == -(-samples // CHUNK)


def test_nothing_is_begun_for_sound_that_is_not_there(open_session: OpenSession) -> None:
    """A microphone: each chunk's sound comes when the chunk before it is done."""
    happened: list[str] = []
    session, plain, sound = ahead(open_session(), happened), open_session(), speech(3 * CHUNK)
    for start in range(0, len(sound), CHUNK):
        piece = sound[start : start + CHUNK]
        plain.push(piece)
        session.push(piece)
        assert np.array_equal(stepped(plain), stepped(session, happened))
    assert happened == ["step", "listen"] * 3


CHANGES: dict[str, Change] = {
    "interrupted": lambda session: session.interrupt(),
    "interrupted and taken back": lambda session: session.interrupt(1),
    "another portrait": lambda session: session.set_portrait(make_portrait(session._networks, picture_of(9), 33)),
    "another prompt": lambda session: session.set_prompt("b"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_sound_begun_in_vain_is_heard_by_nobody(open_session: OpenSession, change: str) -> None:
    """After a change between two chunks, with a shorter first chunk after a cut, frames are as without."""
    made = []
    for quick in (False, True):
        session = open_session(first_chunk_frames=17)
        if quick:
            ahead(session, [])
        session.push(speech(3 * CHUNK, 1))
        frames = [session.step().frames_FHWC, session.step().frames_FHWC]
        with torch.inference_mode():
            CHANGES[change](session)
        session.push(speech(2 * CHUNK, 2))
        made.append(np.concatenate([*frames, stepped(session)]))
        gc.collect()
    assert np.array_equal(made[0], made[1])


def test_a_stream_that_listened_ahead_goes_on_after_a_save(
    open_session: OpenSession, networks: Networks, tmp_path: Path
) -> None:
    sound = speech(3 * CHUNK)
    plain = open_session()
    plain.push(sound)
    session = ahead(open_session(), [])
    session.push(sound)
    first = session.step().frames_FHWC
    session.save(tmp_path / "state")
    later = stepped(Session.restore(networks, tmp_path / "state"))
    assert np.array_equal(stepped(plain), np.concatenate((first, later)))


def test_what_was_heard_ahead_and_then_dropped_was_never_heard(open_session: OpenSession) -> None:
    """A loud word behind the chunk: neither its sound nor its loudness stays."""
    said, ahead, quiet = speech(CHUNK), 6400, np.zeros(CHUNK, np.float32)
    heard = []
    for word in (8 * speech(CHUNK, seed=2), speech(CHUNK)[:0]):
        window = open_session()._sound
        window.push(np.concatenate((said, word)))
        window.hear_until(CHUNK + ahead, ahead)
        window.take(0, CHUNK)
        window.drop_waiting()
        window.push(np.concatenate((said, quiet)))
        heard.append(window.hear_until(2 * CHUNK + ahead, ahead))
    assert np.array_equal(*heard)


def test_a_peek_moves_nothing(open_session: OpenSession) -> None:
    session, sound = open_session(), speech(2 * CHUNK)
    window = session._sound
    window.push(sound)
    before = window.state()
    seen = window.peek_until(CHUNK)
    after = window.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.array_equal(seen, window.hear_until(CHUNK))
