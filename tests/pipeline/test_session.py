"""The laws of a stream (issue: the engine, section 5), on tiny networks."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flashtalk.config_file import to_tree
from flashtalk.errors import EngineError, InputError, SessionClosed
from flashtalk.pipeline.conditioning import make_portrait
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.outlet import OnFrames
from flashtalk.pipeline.session import REWINDABLE_CHUNKS, Session
from flashtalk.types import VideoChunk
from tests.pipeline.conftest import OpenSession, picture_of, speech

CHUNK = 28 * 640


def run(session: Session, samples: np.ndarray) -> list[VideoChunk]:
    return [*session.feed(samples), *session.flush()]


def frames_of(chunks: Iterable[VideoChunk]) -> np.ndarray:
    return np.concatenate([chunk.frames_FHWC for chunk in chunks])


def sound_of(chunks: Iterable[VideoChunk]) -> np.ndarray:
    return np.concatenate([chunk.samples for chunk in chunks])


def in_pieces(session: Session, samples: np.ndarray, sizes: Iterable[int]) -> list[VideoChunk]:
    chunks, start = [], 0
    for size in sizes:
        chunks += session.feed(samples[start : start + size])
        start += size
    return [*chunks, *session.feed(samples[start:]), *session.flush()]


@pytest.mark.parametrize("first", [33, 17])
@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, 1600, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 4321])
def test_video_is_as_long_as_its_sound(open_session: OpenSession, samples: int, first: int) -> None:
    sound = speech(samples)
    chunks = run(open_session(first_chunk_frames=first), sound)
    frames = sum(len(chunk.frames_FHWC) for chunk in chunks)
    assert frames == -(-samples // 640)
    if samples:
        assert np.array_equal(sound_of(chunks), sound), "every sample goes out once, unchanged"


def test_chunks_keep_sound_and_picture_together(open_session: OpenSession) -> None:
    chunks = run(open_session(first_chunk_frames=17), speech(2 * CHUNK + 1000))
    assert [len(chunk.frames_FHWC) for chunk in chunks] == [12, 28, 18]
    assert [chunk.index for chunk in chunks] == [0, 1, 2]
    assert [chunk.first_frame for chunk in chunks] == [0, 12, 40]
    assert [len(chunk.samples) for chunk in chunks] == [12 * 640, CHUNK, CHUNK + 1000 - 12 * 640]
    assert chunks[1].frames_FHWC.dtype == np.uint8
    assert chunks[1].frames_FHWC.shape == (28, 64, 64, 3)
    assert {"audio", "denoise", "decode", "colour", "encode", "host", "total"} == set(chunks[0].timings_s)


@pytest.mark.parametrize("lookahead", [0, 7])
def test_any_pieces_give_the_same_frames(open_session: OpenSession, lookahead: int) -> None:
    sound, rng = speech(2 * CHUNK + 5000), np.random.default_rng(1)
    whole = frames_of(run(open_session(lookahead_frames=lookahead), sound))
    sizes = rng.integers(1, 9000, 12)
    assert np.array_equal(whole, frames_of(in_pieces(open_session(lookahead_frames=lookahead), sound, sizes)))


def test_same_seed_same_frames_and_other_seed_others(open_session: OpenSession) -> None:
    sound = speech(CHUNK)
    first, again, other = (frames_of(run(open_session(seed=seed), sound)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_sound_prompt_portrait_and_past_all_matter(open_session: OpenSession) -> None:
    sound = speech(2 * CHUNK)
    base = frames_of(run(open_session("a"), sound))
    assert not np.array_equal(base, frames_of(run(open_session("b"), sound)))
    assert not np.array_equal(base, frames_of(run(open_session("a", portrait=1), sound)))
    changed = sound.copy()
    changed[:CHUNK] = 0
    other = frames_of(run(open_session("a"), changed))
    assert not np.array_equal(base[28:], other[28:]), "the second chunk goes on from the first"


def test_lookahead_hears_the_future_and_live_does_not(open_session: OpenSession) -> None:
    sound = speech(2 * CHUNK)
    changed = sound.copy()
    changed[CHUNK:] = 0
    live, live_changed = (next(open_session().feed(s)) for s in (sound, changed))
    assert np.array_equal(live.frames_FHWC, live_changed.frames_FHWC)
    file, file_changed = (next(open_session(lookahead_frames=5).feed(s)) for s in (sound, changed))
    assert not np.array_equal(file.frames_FHWC, file_changed.frames_FHWC)


@pytest.mark.parametrize("first", [17, 33])
@pytest.mark.parametrize("lookahead", [0, 7])
def test_each_frame_hears_its_own_moment(open_session: OpenSession, lookahead: int, first: int) -> None:
    """With an encoder that tells each frame's loudness, the centre of a window is the loudness of the frame's sound."""
    loudness = np.random.default_rng(0).uniform(0.1, 1, 80).astype(np.float32)
    session = open_session(first_chunk_frames=first, lookahead_frames=lookahead, loudness_lufs=None)
    heard: list[np.ndarray] = []

    def encode(samples_BS: torch.Tensor, frames: int) -> torch.Tensor:
        level = samples_BS.unflatten(1, (frames, -1)).mean(-1)
        return level[..., None, None].expand(-1, -1, 3, 32)

    def listen(_index: int, frames: int) -> torch.Tensor:
        windows = Session._listen(session, frames)
        heard.append(windows[0, :, 2, 0].numpy())
        return windows

    session._networks = replace(session._networks, audio_encoder=encode)  # type: ignore[arg-type]
    session._windows = listen
    run(session, np.repeat(loudness, 640))
    with_past = np.concatenate((np.zeros(5, np.float32), loudness, np.zeros(60, np.float32)))
    starts = [0, first - 5, first - 5 + 28]
    for start, levels in zip(starts, heard, strict=False):
        np.testing.assert_allclose(levels, with_past[start : start + len(levels)], rtol=1e-4)


def test_two_interleaved_sessions_are_each_alone(open_session: OpenSession) -> None:
    sounds = speech(3 * CHUNK, 1), speech(3 * CHUNK, 2)
    alone = [frames_of(run(open_session(portrait=i, seed=i), sound)) for i, sound in enumerate(sounds)]
    sessions = [open_session(portrait=i, seed=i) for i in range(2)]
    turns = zip(*(session.feed(sound) for session, sound in zip(sessions, sounds, strict=True)), strict=True)
    for i, chunks in enumerate(zip(*turns, strict=True)):
        assert np.array_equal(frames_of(chunks), alone[i])


def test_saved_and_restored_here_is_never_stopped(
    open_session: OpenSession, networks: Networks, tmp_path: Path
) -> None:
    sound = speech(3 * CHUNK + 100)
    never = frames_of(run(open_session("hello", first_chunk_frames=17), sound))
    session = open_session("hello", first_chunk_frames=17)
    cut = CHUNK + 777
    before = list(session.feed(sound[:cut]))
    session.save(tmp_path / "state")
    again = Session.restore(networks, tmp_path / "state")
    assert again.samples_fed == cut
    assert np.array_equal(never, frames_of([*before, *run(again, sound[cut:])]))


CHILD = """
import sys, numpy as np
from pathlib import Path
from flashtalk.config import Config
from flashtalk.config_file import from_tree
from flashtalk.engine.build import build_networks
from flashtalk.pipeline.session import Session
import json, torch
torch.set_num_threads(int(sys.argv[5]))
networks = build_networks(from_tree(Config, json.loads(sys.argv[1])))
session = Session.restore(networks, sys.argv[2])
frames = [c.frames_FHWC for c in (*session.feed(np.load(sys.argv[3])), *session.flush())]
np.save(sys.argv[4], np.concatenate(frames))
"""


def test_restored_in_a_new_process_is_never_stopped(
    open_session: OpenSession, tiny_config: object, tmp_path: Path
) -> None:
    sound = speech(2 * CHUNK + 300)
    never = frames_of(run(open_session("hello"), sound))
    session = open_session("hello")
    before = list(session.feed(sound[:CHUNK]))
    session.save(tmp_path / "state")
    np.save(tmp_path / "rest.npy", sound[CHUNK:])
    paths = [str(tmp_path / name) for name in ("state", "rest.npy", "frames.npy")]
    arguments = [json.dumps(to_tree(tiny_config)), *paths, str(torch.get_num_threads())]
    subprocess.run([sys.executable, "-c", CHILD, *arguments], check=True, timeout=120)
    assert np.array_equal(never, np.concatenate((frames_of(before), np.load(tmp_path / "frames.npy"))))


def test_a_saved_session_of_another_model_is_refused(
    open_session: OpenSession, networks: Networks, tmp_path: Path
) -> None:
    open_session().save(tmp_path / "state")
    with pytest.raises(InputError, match="same model") as caught:
        Session.restore(replace(networks, fingerprint="other"), tmp_path / "state")
    assert caught.value.code == "session_model"
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:100])
    with pytest.raises(InputError, match="not a saved session"):
        Session.restore(networks, tmp_path / "state")


@pytest.mark.parametrize("shown", [None, 1, 2])
def test_interrupted_is_as_if_the_rest_was_never_said(open_session: OpenSession, shown: int | None) -> None:
    sound, after = speech(3 * CHUNK + 999), np.zeros(2 * CHUNK, np.float32)
    kept = 3 if shown is None else shown
    wanted = frames_of(run(open_session(), np.concatenate((sound[: kept * CHUNK], after))))
    session = open_session()
    said = list(session.feed(sound))[:kept]
    session.interrupt(shown)
    assert session.frames_done == kept * 28
    assert np.array_equal(wanted, frames_of([*said, *run(session, after)]))


def test_a_chunk_that_failed_was_not_heard(open_session: OpenSession) -> None:
    said, other = 4 * speech(CHUNK), speech(CHUNK, seed=3)
    session = open_session()
    session.push(said)

    def fail(_frames_FHWC: np.ndarray) -> None:
        raise RuntimeError("nobody takes them")

    with pytest.raises(RuntimeError):
        session.step(fail)
    session.interrupt()
    assert np.array_equal(frames_of(run(session, other)), frames_of(run(open_session(), other)))


def test_interrupt_reaches_back_a_few_chunks_only(open_session: OpenSession) -> None:
    session = open_session(first_chunk_frames=17)
    chunks = list(session.feed(speech((REWINDABLE_CHUNKS + 2) * CHUNK)))
    session.interrupt(len(chunks) - REWINDABLE_CHUNKS)
    before = session.frames_done
    with pytest.raises(InputError, match="cannot go back") as caught:
        session.interrupt(0)
    assert caught.value.code == "interrupt_range"
    assert session.frames_done == before, "a refused call changes nothing"


def test_silence_is_valid_and_moves_on(open_session: OpenSession) -> None:
    chunks = run(open_session(), np.zeros(2 * CHUNK, np.float32))
    frames = frames_of(chunks)
    assert len(frames) == 56
    assert frames.std() > 0


def test_interrupt_does_not_reach_back_beyond_a_change_of_portrait(
    open_session: OpenSession, networks: Networks
) -> None:
    session = open_session()
    list(session.feed(speech(2 * CHUNK)))
    with torch.inference_mode():
        session.set_portrait(make_portrait(networks, picture_of(9), 33))
    with pytest.raises(InputError, match="cannot go back"):
        session.interrupt(1)


def test_prompt_portrait_and_colour_may_change_between_chunks(open_session: OpenSession, networks: Networks) -> None:
    sound = speech(4 * CHUNK)
    plain = frames_of(run(open_session("a"), sound))
    session = open_session("a")
    feed = session.feed(sound)
    chunks = [next(feed)]
    session.set_prompt("b")
    chunks.append(next(feed))
    session.colour_strength = 0.0
    chunks.append(next(feed))
    with torch.inference_mode():
        session.set_portrait(make_portrait(networks, picture_of(9), 33))
    chunks.append(next(feed))
    same = [np.array_equal(plain[28 * i : 28 * i + 28], chunk.frames_FHWC) for i, chunk in enumerate(chunks)]
    assert same == [True, False, False, False]
    cut = frames_of(run(open_session("b", portrait=9, colour_strength=0.0), speech(CHUNK)))
    assert chunks[3].frames_FHWC.shape == cut.shape


def test_a_portrait_of_another_size_is_refused(open_session: OpenSession, networks: Networks) -> None:
    with torch.inference_mode():
        small = make_portrait(networks, picture_of(0)[:32], 33)
    with pytest.raises(InputError, match="prepared for"):
        open_session().set_portrait(small)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_colour_strength_out_of_range_is_refused(open_session: OpenSession, strength: float) -> None:
    with pytest.raises(InputError, match=r"0\.\.1"):
        open_session().colour_strength = strength


def test_an_ended_session_says_so(open_session: OpenSession) -> None:
    session = open_session()
    list(session.flush())
    with pytest.raises(SessionClosed, match="flush"):
        session.feed(speech(10))
    session.close()
    session.close()
    with pytest.raises(SessionClosed, match="closed"):
        session.save("nowhere")


@pytest.mark.parametrize("bad", [np.zeros((2, 100), np.float32), np.zeros(100, np.int16)])
def test_sound_of_another_kind_is_refused(open_session: OpenSession, bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="clean_pcm"):
        open_session().feed(bad)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sound_that_is_no_number_is_refused_and_harms_nothing(open_session: OpenSession, bad: float) -> None:
    session, sound = open_session(), speech(CHUNK)
    with pytest.raises(InputError, match="clean_pcm"):
        session.feed(np.full(10, bad, np.float32))
    assert np.array_equal(frames_of(run(session, sound)), frames_of(run(open_session(), sound)))


def test_a_chunk_that_failed_may_be_tried_again(open_session: OpenSession) -> None:
    sound = speech(2 * CHUNK)
    session, wanted = open_session(), frames_of(run(open_session(), sound))
    session.push(sound)
    chunks, compute = [session.step()], session._compute

    def fail_late(on_frames: OnFrames) -> tuple[np.ndarray, torch.Tensor]:
        compute(on_frames)
        raise torch.OutOfMemoryError("no room")

    session._compute = fail_late  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="smaller picture") as caught:
        session.step()
    assert caught.value.code == "out_of_memory"
    session._compute = compute  # type: ignore[method-assign]
    chunks.append(session.step())
    assert np.array_equal(wanted, frames_of(chunks))
    assert chunks[1].timings_s["denoise"] <= chunks[1].timings_s["total"]


def test_feed_takes_the_sound_even_if_nobody_reads_the_chunks(open_session: OpenSession) -> None:
    session = open_session()
    session.feed(speech(CHUNK))
    assert session.samples_fed == CHUNK
    assert session.ready()


def test_what_a_session_held_is_free_once_nobody_holds_it(open_session: OpenSession, networks: Networks) -> None:
    """At once, not when Python looks for circles: it does not know how much the tensors in them weigh."""
    sound, alive = speech(CHUNK), weakref.WeakSet[object]()

    def visit() -> None:
        session = open_session()
        back = Session.restore(networks, session.snapshot())
        for one in (session, back):
            next(one.feed(sound))
            alive.update((one, one._conditioning.portrait.reference_CTHW, one._progress.motion_CTHW))
            one.close()

    gc.collect()
    gc.disable()
    try:
        visit()
        assert not len(alive)
    finally:
        gc.enable()


def count_only(session: Session) -> Session:
    """The same session with its networks left out: for laws of length, over long sounds."""
    first, motion = session.stream.first_chunk_frames - 5, session._progress.motion_CTHW

    def compute(_on_frames: OnFrames) -> tuple[np.ndarray, object]:
        frames = first if session._progress.fresh else 28
        return np.zeros((frames, 8, 8, 3), np.uint8), motion

    session._compute = compute  # type: ignore[method-assign,assignment]
    return session


@settings(max_examples=15)
@given(st.data())
def test_a_million_samples_in_random_pieces_keep_the_length_law(open_session: OpenSession, data: st.DataObject) -> None:
    """Any shape of sound, any pieces: frames and samples out are those that went in."""
    total = data.draw(st.integers(0, 1_000_000))
    first = data.draw(st.sampled_from((17, 33)))
    lookahead = data.draw(st.integers(0, 10))
    sizes = data.draw(st.lists(st.integers(1, 60_000), max_size=60))
    session = count_only(open_session(first_chunk_frames=first, lookahead_frames=lookahead))
    sound = np.random.default_rng(total).uniform(-1, 1, total).astype(np.float32)
    chunks = in_pieces(session, sound, sizes)
    assert sum(len(chunk.frames_FHWC) for chunk in chunks) == -(-total // 640)
    assert np.array_equal(sound_of(chunks) if chunks else sound, sound)
    assert all(chunk.first_frame * 640 == start for chunk, start in zip(chunks, _starts(chunks), strict=True))


@pytest.mark.parametrize("seconds", [0.1, 59.99, 600, 600.003])
def test_up_to_ten_minutes_are_as_long_as_their_sound(open_session: OpenSession, seconds: float) -> None:
    samples = round(seconds * 16000)
    chunks = run(count_only(open_session()), np.zeros(samples, np.float32))
    frames = sum(len(chunk.frames_FHWC) for chunk in chunks)
    assert abs(frames / 25 - seconds) <= 1 / 25
    assert sum(len(chunk.samples) for chunk in chunks) == samples


def _starts(chunks: list[VideoChunk]) -> Iterable[int]:
    start = 0
    for chunk in chunks:
        yield start
        start += len(chunk.samples)


@pytest.mark.slow
def test_memory_is_flat_over_a_thousand_chunks(open_session: OpenSession) -> None:
    short = {"chunk_frames": 13, "first_chunk_frames": 13}
    session, process, sound = open_session(**short), psutil.Process(), speech(8 * 640)
    sizes = []
    for index in range(1000):
        for _ in session.feed(sound):
            pass
        if index % 50 == 49:
            gc.collect()
            sizes.append(process.memory_info().rss)
    assert max(sizes[4:]) - sizes[3] < 5e6, [f"{size / 1e6:.1f}" for size in sizes]
