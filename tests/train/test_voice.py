"""Laws of the audio encoder's training: what is kept, and of whom."""

from __future__ import annotations

import copy

import pytest
import torch

from flashtalk.config import Config, StreamConfig
from flashtalk.models.audio_encoder import AudioEncoder
from train.data import Speech
from train.sound import Listener
from train.stages import get_module
from train.synthetic.pose import POSE
from train.voice import Reader, VoiceStep

CLIPS, FRAMES = 4, 40


@pytest.fixture
def encoder(tiny_config: Config) -> AudioEncoder:
    """Randomly drawn."""
    made = get_module(tiny_config.model, "audio_encoder", torch.device("cpu"), seed=3)
    assert isinstance(made, AudioEncoder)
    return made


def moved(encoder: AudioEncoder, former: AudioEncoder, recorded: list[bool]) -> float:
    """The stat of one batch of noise."""
    stream = StreamConfig(audio_context_s=1.2)
    samples = torch.randint(-9000, 9000, (CLIPS, FRAMES * stream.samples_per_frame), dtype=torch.int16)
    speech = Speech(
        samples, torch.zeros(CLIPS, FRAMES, len(POSE)), torch.zeros(CLIPS, FRAMES).long(), torch.tensor(recorded)
    )
    step = VoiceStep(Reader(encoder), speech, Listener(samples, stream, None), stream, former, 1.0)
    _, stats = step.loss(6, torch.Generator().manual_seed(1), torch.Generator().manual_seed(2))
    return float(stats["moved"])


def test_an_unchanged_encoder_has_not_moved(encoder: AudioEncoder) -> None:
    assert moved(encoder, copy.deepcopy(encoder), [False] * CLIPS) == 0.0


def test_a_changed_one_has_and_recorded_voices_may_move_it(encoder: AudioEncoder) -> None:
    changed = copy.deepcopy(encoder)
    with torch.no_grad():
        next(changed.encoder.layers[-1].parameters()).mul_(1.5)
    assert moved(changed, encoder, [False] * CLIPS) > 1e-6
    assert moved(changed, encoder, [True] * CLIPS) == 0.0
