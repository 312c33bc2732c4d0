"""Work beside the main stream of a GPU: the same frames, really beside it, and no wait. Compiled kernels that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from flashtalk.config import Config
from flashtalk.config_file import replace as changed
from flashtalk.config_overlap import OverlapConfig
from flashtalk.engine.graphs import GraphedSound, graph_sound
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.ops.streams import SideStream
from flashtalk.pipeline.listener import Listener
from flashtalk.pipeline.networks import Networks, SoundEncoder
from flashtalk.pipeline.outlet import Outlet, keep_quiet
from flashtalk.pipeline.session import Session
from tests.engine.compiled_start import start_in_a_process
from tests.gpu.test_cuda import networks_on, no_synchronisation, open_session
from tests.parallel.pool import Pool
from tests.parallel.test_engine_ranks import odd, split_film
from tests.pipeline.conftest import speech

pytestmark = pytest.mark.gpu
CHUNK = 28 * 640
GPU = torch.device("cuda")
LONG_CYCLES = 600_000_000
"""A third of a second on an H200: the main stream has to do for so long."""
OFF = OverlapConfig(audio_ahead=False, copy_beside=False)


@pytest.fixture(scope="module")
def networks(tiny_wan_config: Config) -> Networks:
    return networks_on(tiny_wan_config, "cuda", "bfloat16")


def film(networks: Networks, config: Config, overlap: OverlapConfig) -> np.ndarray:
    """Four chunks of a file, all of whose sound is there."""
    session = open_session(replace(networks, overlap=overlap), config)
    return np.concatenate([chunk.frames_FHWC for chunk in session.feed(speech(4 * CHUNK))])


@pytest.mark.parametrize("overlap", [OverlapConfig(copy_beside=False), OverlapConfig(audio_ahead=False)])
def test_beside_is_the_same_as_in_turn(networks: Networks, tiny_wan_config: Config, overlap: OverlapConfig) -> None:
    """To the byte: the same kernels on another stream. Three times, since a race need not show at once."""
    wanted = film(networks, tiny_wan_config, OFF)
    assert wanted.std() > 0
    assert all(np.array_equal(film(networks, tiny_wan_config, overlap), wanted) for _ in range(3))


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 0.05), ("bfloat16", 4.0)])
def test_frames_that_leave_early_are_those_of_the_chunk(tiny_wan_config: Config, dtype: str, bound: float) -> None:
    """Mean of levels of 255. Shorter pieces may take other kernels, whose rounding four chunks carry on."""
    networks = networks_on(tiny_wan_config, "cuda", dtype)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        whole, early = (film(networks, tiny_wan_config, OverlapConfig(early_frames=on)) for on in (False, True))
    assert np.abs(whole.astype(int) - early).mean() < bound


def streams_seen(encoder: SoundEncoder) -> tuple[list[bool], torch.utils.hooks.RemovableHandle]:
    """Whether each call ran on another stream than the main one; the hook that looks."""
    seen: list[bool] = []
    assert isinstance(encoder, nn.Module)
    main = torch.cuda.current_stream()
    return seen, encoder.register_forward_pre_hook(lambda *_: seen.append(torch.cuda.current_stream() != main))


def test_only_sound_that_is_there_is_encoded_beside(networks: Networks, tiny_wan_config: Config) -> None:
    seen, hook = streams_seen(networks.audio_encoder)
    film(networks, tiny_wan_config, OverlapConfig())
    assert seen == [False, True, True, True]
    session, sound = open_session(networks, tiny_wan_config), speech(3 * CHUNK)
    seen.clear()
    for start in range(0, len(sound), CHUNK):
        list(session.feed(sound[start : start + CHUNK]))
    assert seen == [False] * 3, "a microphone"
    hook.remove()


def main_stream_is_busy() -> bool:
    return not torch.cuda.current_stream().query()


def test_sound_is_encoded_while_the_main_stream_computes(networks: Networks, tiny_wan_config: Config) -> None:
    side, heard = SideStream(GPU, "sound"), speech(8 * 16000)
    listener = Listener(tiny_wan_config.stream, side)
    with torch.inference_mode():
        listener.begin(networks, heard, 33)  # the stream's first memory is asked of the device
        wanted = listener.windows(networks, heard, 33)
        torch.cuda.synchronize()
        torch.cuda._sleep(LONG_CYCLES)
        with no_synchronisation():
            listener.begin(networks, heard, 33)
        side.mark()()
        assert main_stream_is_busy()
        assert torch.equal(listener.windows(networks, heard, 33), wanted)


def test_frames_arrive_while_the_main_stream_computes() -> None:
    pixels = torch.rand(1, 3, 28, 96, 64, device=GPU) * 2 - 1
    for warm in (False, True):  # page-locked memory is asked of the system at first, and that waits
        outlet = Outlet(28, 28, SideStream(GPU, "frames"), keep_quiet)
        with no_synchronisation():
            outlet.put(pixels[:, :, :4])
            torch.cuda._sleep(LONG_CYCLES)
            outlet.put(pixels[:, :, 4:])
        torch.cuda._sleep(LONG_CYCLES)
        some: list[np.ndarray] = []
        outlet._on_frames = some.append
        outlet._pieces[0].wait()
        assert main_stream_is_busy() or not warm
        frames = outlet.wait()
        assert main_stream_is_busy() or not warm
        assert [len(piece) for piece in some] == [4, 24]
    wanted = ((pixels[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()
    assert np.array_equal(frames, wanted)


@pytest.fixture
def slow_end(networks: Networks) -> Iterator[list[int]]:
    """A codec that takes long for every piece but the first; the frames of each."""
    codec, pieces = networks.codec, list[int]()
    assert isinstance(codec, nn.Module)

    def take_long(_module: nn.Module, inputs: tuple[Tensor, object]) -> None:
        pieces.append(inputs[0].shape[2])
        if len(pieces) > 1:
            torch.cuda._sleep(LONG_CYCLES)

    hook = codec.decoder.register_forward_pre_hook(take_long)
    yield pieces
    hook.remove()


def test_first_frames_leave_while_the_others_are_decoded(
    networks: Networks, tiny_wan_config: Config, slow_end: list[int]
) -> None:
    session = open_session(replace(networks, overlap=OverlapConfig(early_frames=True)), tiny_wan_config)
    session.push(speech(2 * CHUNK))
    session.step()
    slow_end.clear()
    busy: list[bool] = []
    chunk = session.step(lambda _frames: busy.append(main_stream_is_busy()))
    assert slow_end == [3, 6]
    assert busy[0], "the first frames waited for the others"
    assert chunk.timings_s["total"] > 0.1


def test_a_graph_gives_what_its_kernels_gave(networks: Networks) -> None:
    """Each sound its own features, whatever came later, on the main stream and beside it, up to the order of sums."""
    plain, side = networks.audio_encoder, SideStream(GPU, "sound")
    assert isinstance(plain, AudioEncoder)
    graphed = GraphedSound(plain)
    sounds = [torch.from_numpy(speech(8 * 16000, seed))[None].to(GPU) for seed in range(4)]
    made = []
    with torch.inference_mode():
        for number, sound in enumerate(sounds):
            with side.work(sound) if number % 2 else nullcontext():
                made.append(graphed(sound, 200))
        side.join(*made)
        for sound, hidden in zip(sounds, made, strict=True):
            wanted = plain(sound, 200)
            assert (hidden - wanted).norm() / wanted.norm() < 1e-4
        with no_synchronisation():
            graphed(sounds[0], 200)


def test_graphs_on_two_devices_hear_each_their_own(tiny_wan_config: Config) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    with torch.inference_mode():
        for device in ("cuda:0", "cuda:1"):
            plain = networks_on(tiny_wan_config, device, "float32").audio_encoder
            assert isinstance(plain, AudioEncoder)
            graphed = GraphedSound(plain)
            for seed in (0, 1):
                sound = torch.randn(1, 16000, generator=torch.Generator().manual_seed(seed)).to(device)
                torch.testing.assert_close(graphed(sound, 25), plain(sound, 25))


def test_a_film_by_graph_is_the_film(networks: Networks, tiny_wan_config: Config) -> None:
    wanted = film(networks, tiny_wan_config, OFF).astype(int)
    made = film(graph_sound(networks), tiny_wan_config, OverlapConfig())
    assert np.abs(made - wanted).mean() < 2.0


def test_memory_is_that_of_one_stream_however_many_sessions(networks: Networks, tiny_wan_config: Config) -> None:
    """Each stream that something ran on keeps memory of its own."""
    held = []
    for _ in range(6):
        film(networks, tiny_wan_config, OverlapConfig())
        gc.collect()
        held.append(torch.cuda.memory_reserved())
    assert held[-1] <= held[2]


def test_a_second_start_finds_what_the_first_compiled(tmp_path: Path) -> None:
    first, second = (start_in_a_process(tmp_path / "kernels", "cuda") for _ in range(2))
    assert first["misses"] > 0
    assert second["misses"] == 0
    assert second["hits"] > 0
    assert second["helpers"] == 0


def test_ranks_do_the_same(tiny_wan_config: Config, tmp_path: Path) -> None:
    """Three chunks in float32 on two GPUs, with all of it and without."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs 2 GPUs")
    config = changed(odd(tiny_wan_config), {"runtime.device": "cuda", "runtime.fused_codec": True})
    pool = Pool(2, tmp_path, "cuda")
    try:
        off = {"runtime.audio_ahead": False, "runtime.copy_beside": False}
        plain, beside, early = (
            pool.run(2, split_film, changed(config, settings)) for settings in (off, {}, {"runtime.early_frames": True})
        )
    finally:
        pool.close()
    for rank in range(2):
        assert np.array_equal(plain[rank], beside[rank])
        assert np.abs(plain[rank] - early[rank]).mean() < 0.05


def test_an_interrupted_file_hears_nothing_of_what_was_begun(networks: Networks, tiny_wan_config: Config) -> None:
    made = []
    for overlap in (OFF, OverlapConfig()):
        session: Session = open_session(replace(networks, overlap=overlap), tiny_wan_config)
        session.push(speech(3 * CHUNK, 1))
        frames = [session.step().frames_FHWC]
        session.interrupt()
        frames += [chunk.frames_FHWC for chunk in session.feed(speech(2 * CHUNK, 2))]
        made.append(np.concatenate(frames))
    assert np.array_equal(*made)
