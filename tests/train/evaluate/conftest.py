"""A tiny checkpoint on disk, an untrained judge and a voice that needs no library: all that an evaluation asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from flashtalk.checkpoint import init_component, save_component, write_manifest
from flashtalk.config import Config
from flashtalk.models.build import build_models_on_meta, named_modules
from flashtalk.pipeline.networks import Networks
from train.config import SpeechConfig
from train.evaluate.config import EvaluationConfig, FilmPlan, LongPlan, Variant
from train.evaluate.networks import build_networks
from train.evaluate.studio import Studio
from train.judge.files import save_judge
from train.judge.network import Judge, JudgeConfig
from train.synthetic import corpus
from train.synthetic.phonemes import SAMPLE_RATE, Phoneme, Utterance

CPU = torch.device("cpu")


class Babble:
    """Says "mama" in noise: real phonemes, real silence between, another voice for each seed."""

    def speak(self, seed: int, split: str, seconds: float) -> Sequence[Utterance]:
        rng, syllables = np.random.default_rng(seed), max(2, round(seconds / 0.4) // 2)
        phonemes: list[Phoneme] = []
        samples = np.zeros(round(syllables * 0.4 * SAMPLE_RATE), np.float32)
        for i in range(syllables):
            start = 0.4 * i
            phonemes += [Phoneme("M", start, start + 0.1), Phoneme("AA", start + 0.1, start + 0.38, 1)]
            loud = slice(round((start + 0.1) * SAMPLE_RATE), round((start + 0.38) * SAMPLE_RATE))
            samples[loud] = 0.2 * rng.standard_normal(loud.stop - loud.start)
        return [Utterance(samples, tuple(phonemes), "mama", "en", f"babble:{seed % 97}", split, "espeak")]

    def noise(self, seed: int, split: str, seconds: float) -> Utterance:
        samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
        return Utterance(samples.astype(np.float32), (), "", "", "negative:hiss", split, "negative")


@pytest.fixture(scope="session")
def babble() -> Babble:
    return Babble()


@pytest.fixture(scope="session")
def checkpoint(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the served layout."""
    folder = tmp_path_factory.mktemp("checkpoint")
    for name, module in named_modules(build_models_on_meta(tiny_config.model)):
        init_component(module, 0, CPU, lambda _name: torch.float32)
        save_component(module, folder, name)
    write_manifest(folder, "a test", None)
    return folder


@pytest.fixture(scope="session")
def networks(tiny_config: Config, checkpoint: Path) -> Networks:
    return build_networks(tiny_config.model, checkpoint, CPU, torch.float32)


@pytest.fixture(scope="session")
def speech(babble: Babble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of one made voice and one person's."""
    folder = tmp_path_factory.mktemp("speech")
    made, person = babble.speak(1, "test", 2.0)[0], babble.speak(2, "test", 2.0)[0]
    corpus.write(folder, [made, dataclasses.replace(person, source="human", voice="human:2")])
    return folder


@pytest.fixture
def config(tiny_config: Config, checkpoint: Path, judge_folder: Path, speech: Path, tmp_path: Path) -> EvaluationConfig:
    """One character, films of little more than a second, no long ones."""
    return EvaluationConfig(
        checkpoint=str(checkpoint),
        judge=str(judge_folder),
        out=str(tmp_path / "report"),
        cache=str(tmp_path / "cache"),
        device="cpu",
        precision="float32",
        model=tiny_config.model,
        stream=dataclasses.replace(tiny_config.stream, audio_context_s=2.0),
        speech=SpeechConfig(corpus=str(speech)),
        variants=(Variant(name="2 steps", steps=2), Variant(name="guided", sampler="teacher", steps=3, long=False)),
        films=FilmPlan(characters=1, seconds=1.6, quiet_characters=1, quiet_seconds=1.0, speed_seconds=1.2),
        long=LongPlan(seconds=0),
    )


@pytest.fixture
def studio(config: EvaluationConfig) -> Studio:
    return Studio(config, CPU)


@pytest.fixture(scope="session")
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(JudgeConfig(picture_px=64, mouth_px=32, widths=(8, 16, 24), hidden=32)).eval()


@pytest.fixture(scope="session")
def judge_folder(judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judge")
    save_judge(judge, folder, {"validation": {"jaw": {"r2": 0.5, "correlation": 0.7, "error": 0.1}}})
    return folder
