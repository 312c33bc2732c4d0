"""What an evaluation is made of: films and their measures, subjects, sounds, levels, with random weights."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from flashtalk.config import Config
from flashtalk.errors import CheckpointError, InputError
from flashtalk.pipeline.networks import Networks
from tests.train.evaluate.conftest import Babble
from train.evaluate.film import Speaker, Watcher, draw, generate, watch
from train.evaluate.networks import build_networks
from train.evaluate.scores import Levels, levels_of, quiet_scores
from train.evaluate.sounds import QUIET, CorpusSpeech, Sounds, joined
from train.evaluate.subjects import IDENTITY, make_subject
from train.judge.network import OUTPUTS, Judge
from train.synthetic.phonemes import SAMPLE_RATE
from train.synthetic.pose import poses
from train.synthetic.render import Renderer
from train.synthetic.traits import draw_character, nearer

FPS = 25


@pytest.fixture(scope="module")
def speaker(tiny_config: Config, networks: Networks) -> Speaker:
    stream = dataclasses.replace(tiny_config.stream, steps=2, audio_context_s=2.0)
    return Speaker(networks=networks, stream=stream)


def test_chunks_measured_apart_are_the_film_measured_whole(speaker: Speaker, judge: Judge) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (70, 64, 64, 3), np.uint8)
    whole, parts = Watcher(judge), Watcher(judge, keep={0, 69})
    whole.add(frames)
    for start, end in ((0, 28), (28, 56), (56, 70)):
        parts.add(frames[start:end])
    one, other = whole.film(), parts.film()
    for name in dataclasses.asdict(one.track):
        np.testing.assert_allclose(getattr(one.track, name), getattr(other.track, name), rtol=1e-4, atol=1e-5)
    assert other.kept == (0, 69)
    np.testing.assert_array_equal(other.frames_FHWC, frames[[0, 69]])


def test_film_lasts_as_long_as_its_sound(speaker: Speaker, judge: Judge) -> None:
    portrait = np.full((64, 64, 3), 128, np.uint8)
    film = generate(speaker, portrait, "", np.zeros(2 * SAMPLE_RATE, np.float32), Watcher(judge))
    assert len(film.track) == len(film.frames_FHWC) == 2 * FPS
    assert film.chunk_frames == (28, 22)
    assert film.fps > 0


def test_subjects_are_unseen_calm_and_repeatable(judge: Judge) -> None:
    renderer = Renderer(torch.device("cpu"))
    first, again, other = (make_subject(i, 0, "test", renderer, judge, (64, 64), nearest=0.7) for i in (0, 0, 1))
    np.testing.assert_array_equal(first.portrait_HWC, again.portrait_HWC)
    assert first.character.split == "test"
    assert first.character == nearer(draw_character(first.seed, "test"), 0.7)
    assert (first.portrait_HWC != other.portrait_HWC).any()
    np.testing.assert_array_equal(first.portrait_HWC, draw(renderer, first.character, poses(1), (64, 64))[0].numpy())
    assert set(IDENTITY) <= set(OUTPUTS)


def test_joined_speech_has_its_length_and_goes_round(babble: Babble) -> None:
    short = babble.speak(0, "test", 1.0)
    long = joined(short, 10.0, 0)
    assert len(long.samples) == 10 * SAMPLE_RATE
    assert len(long.phonemes) > 3 * len(short[0].phonemes)
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in zip(long.phonemes, long.phonemes[1:], strict=False))
    with pytest.raises(InputError, match="no sound"):
        joined([], 1.0, 0)


def test_a_corpus_speaks_without_espeak(babble: Babble) -> None:
    made, human = babble.speak(1, "test", 2.0)[0], dataclasses.replace(babble.speak(2, "test", 2.0)[0], source="human")
    other = dataclasses.replace(babble.speak(3, "train", 2.0)[0], voice="of training")
    speech = CorpusSpeech([made, human, other])
    assert {one.voice for seed in range(8) for one in speech.speak(seed, "test", 5.0)} == {made.voice}
    assert sum(one.duration_s for one in speech.speak(0, "test", 5.0)) >= 5
    assert {one.source for one in CorpusSpeech([human, other]).speak(0, "test", 1.0)} == {"human"}
    assert speech.noise(0, "test", 1.0).phonemes == ()
    with pytest.raises(InputError, match="validation"):
        speech.speak(0, "validation", 1.0)


def test_quiet_sounds_are_what_they_are_called(babble: Babble) -> None:
    sounds = {kind: Sounds(babble, "test", 0).quiet(0, kind, 2.0) for kind in QUIET}
    level = {kind: float(np.sqrt(np.mean(one.samples**2))) for kind, one in sounds.items()}
    assert level["silence"] == 0
    assert 20 * math.log10(level["microphone"]) == pytest.approx(-60, abs=0.5)
    assert 20 * math.log10(level["music"]) == pytest.approx(-20, abs=0.5)
    assert all(one.phonemes == () and len(one.samples) == 2 * SAMPLE_RATE for one in sounds.values())
    assert (sounds["noise 0"].samples != sounds["noise 1"].samples).any()


def test_levels_and_openings(judge: Judge) -> None:
    track = watch(judge, torch.zeros((100, 64, 64, 3), dtype=torch.uint8)).track
    track.judged_FJ[:, OUTPUTS.index("mouth_opening")] = np.linspace(0.1, 1.1, 100)
    levels = levels_of(np.linspace(0, 1, 100), track)
    assert levels.shut == pytest.approx(0.1, abs=0.02)
    assert levels.wide == pytest.approx(1.05, abs=0.02)
    scores = quiet_scores(track, Levels(shut=0.1, wide=2.1))
    assert scores["mean_opening"] == pytest.approx(0.28, abs=0.01)
    assert scores["shut_share"] == pytest.approx(8 / 88, abs=0.02)


def test_a_folder_without_weights_is_told(tiny_config: Config, tmp_path: Path) -> None:
    for folder, words in ((tmp_path / "none", "no folder .*none"), (tmp_path, "manifest")):
        with pytest.raises(CheckpointError, match=words):
            build_networks(tiny_config.model, folder, torch.device("cpu"), torch.float32)
