"""A whole evaluation of random weights, with real sessions, the real renderer and the real report, in seconds."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flashtalk.config import Config
from flashtalk.errors import CheckpointError, InputError
from flashtalk.pipeline.networks import Networks
from tests.train.evaluate.conftest import Babble
from train.evaluate.film import Speaker, Watcher, draw, generate, watch
from train.evaluate.long_run import LongPlan, film_long
from train.evaluate.networks import build_networks
from train.evaluate.report import TARGETS, Report
from train.evaluate.run import Evaluation, RunPlan
from train.evaluate.scores import Levels, levels_of, quiet_scores
from train.evaluate.sounds import CorpusSpeech, Sounds, joined
from train.evaluate.subjects import IDENTITY, make_subject
from train.judge.network import OUTPUTS, Judge
from train.synthetic.phonemes import SAMPLE_RATE, Utterance
from train.synthetic.pose import poses
from train.synthetic.render import Renderer

FPS = 25


@pytest.fixture(scope="module")
def speaker(tiny_config: Config, networks: Networks) -> Speaker:
    stream = dataclasses.replace(tiny_config.stream, steps=2, audio_context_s=2.0)
    return Speaker(networks=networks, stream=stream)


@pytest.fixture(scope="module")
def evaluation(speaker: Speaker, judge: Judge, babble: Babble) -> Evaluation:
    plan = RunPlan(characters=2, seconds=1.6)
    human = Utterance(
        *dataclasses.astuple(babble.speak(5, "test", 2.0)[0])[:1], (), "", "en", "human:5", "test", "human"
    )
    sounds = Sounds(babble, "test", 0, [[human]])
    return Evaluation(speaker, judge, Renderer(torch.device("cpu")), sounds, plan, lambda _row: None)


def test_whole_evaluation_writes_its_report(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.evaluate.sounds.QUIET_S", 1.0)
    results = evaluation.run()
    kinds = [case["kind"] for case in results.cases]
    assert kinds == 2 * ["speech", "human", "silence", "microphone", "room", "music", "noise", "noise", "noise"]
    assert {case["subject"] for case in results.cases} == {"test 0", "test 1"}
    report = Report(settings={"checkpoint": "tiny"}, results=results, long_rows=[], judge={})
    report.save(tmp_path)
    tree = json.loads((tmp_path / "report.json").read_text())
    verdicts = {row["name"]: row["passed"] for row in tree["targets"]}
    assert set(verdicts) == {target.name for target in TARGETS}
    assert verdicts["lip_correlation"] is False, "random weights do not talk"
    assert verdicts["identity_similarity_change"] is None, "no long run was asked for"
    assert tree["summary"]["lip_correlation"] == pytest.approx(results.summary()["lip_correlation"])
    page = (tmp_path / "report.md").read_text()
    assert "**fail**" in page
    for name in (*results.sheets, *results.plots):
        assert f"![{name}]({name}." in page
    with Image.open(tmp_path / "visemes.png") as sheet:
        assert sheet.height == 2 * (14 + 2 * 160)
        assert sheet.width % 160 == 0
    assert (tmp_path / "lags.svg").read_text().startswith("<svg")


def test_long_run_tells_drift(evaluation: Evaluation) -> None:
    (row,) = film_long(evaluation, LongPlan(seconds=30, characters=1))
    assert row["seconds"] == 30
    assert row["sharpness_change"] == pytest.approx(abs(row["sharpness_at_end"] / row["sharpness_at_10"] - 1))
    assert evaluation.results.sheets["long-run"].size == (12 * 160, 14 + 160)
    assert {"long-sharpness", "long-identity-similarity", "long-lip-correlation"} <= set(evaluation.results.plots)
    with pytest.raises(InputError, match="30 s or more"):
        film_long(evaluation, LongPlan(seconds=20))


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
    first, again, other = (make_subject(i, 0, "test", renderer, judge, (64, 64)) for i in (0, 0, 1))
    np.testing.assert_array_equal(first.portrait_HWC, again.portrait_HWC)
    assert first.character.split == "test"
    assert (first.portrait_HWC != other.portrait_HWC).any()
    np.testing.assert_array_equal(first.portrait_HWC, draw(renderer, first.character, poses(1), (64, 64))[0])
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
    sounds = {}
    for kind, utterance in Sounds(babble, "test", 0).quiet(0):
        sounds[kind] = utterance
    assert set(sounds) == {"silence", "microphone", "room", "music", "noise"}
    level = {kind: float(np.sqrt(np.mean(one.samples**2))) for kind, one in sounds.items()}
    assert level["silence"] == 0
    assert 20 * math.log10(level["microphone"]) == pytest.approx(-60, abs=0.5)
    assert 20 * math.log10(level["music"]) == pytest.approx(-20, abs=0.5)
    assert all(one.phonemes == () for one in sounds.values())


def test_levels_and_openings(judge: Judge) -> None:
    film = watch(judge, np.zeros((100, 64, 64, 3), np.uint8))
    film.track.judged_FJ[:, OUTPUTS.index("mouth_opening")] = np.linspace(0.1, 1.1, 100)
    levels = levels_of(np.linspace(0, 1, 100), film)
    assert levels.shut == pytest.approx(0.1, abs=0.02)
    assert levels.wide == pytest.approx(1.05, abs=0.02)
    scores = quiet_scores(film, Levels(shut=0.1, wide=2.1))
    assert scores["mean_opening"] == pytest.approx(0.28, abs=0.01)
    assert scores["shut_share"] == pytest.approx(8 / 88, abs=0.02)


def test_a_folder_without_weights_is_told(tiny_config: Config, tmp_path: Path) -> None:
    for folder, words in ((tmp_path / "none", "no folder none"), (tmp_path, "manifest")):
        with pytest.raises(CheckpointError, match=words):
            build_networks(tiny_config.model, folder, torch.device("cpu"), torch.float32)
