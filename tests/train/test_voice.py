"""Laws of the audio encoder's training: what is kept, and of whom."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from flashtalk.config import Config, StreamConfig
from flashtalk.models.audio_encoder import AudioEncoder
from train.data import Speech
from train.phones import HEADS, PhoneReader
from train.sound import Listener
from train.stages import get_module
from train.synthetic.pose import POSE
from train.voice import CLASSES, Reader, VoiceStep, save_heads, take_heads

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


@pytest.mark.parametrize("seconds", [0.5, 3.003])
def test_a_phone_reader_hears_all_of_a_sound_in_rows_of_10_ms(encoder: AudioEncoder, seconds: float) -> None:
    reader = Reader(encoder)
    hears = PhoneReader(encoder, reader.phonemes.weight, reader.phonemes.bias, StreamConfig(audio_context_s=1.2))
    samples = torch.randn(round(seconds * 16000)).numpy() * 0.1
    rows = hears(samples)
    assert rows.shape == (-(-len(samples) // 160), CLASSES)
    assert torch.from_numpy(rows).exp().sum(-1).allclose(torch.ones(len(rows)), atol=1e-4)


def test_heads_go_on_from_those_beside_the_weights(encoder: AudioEncoder, tmp_path: Path) -> None:
    first, second = Reader(encoder), Reader(encoder)
    take_heads(second, str(tmp_path / "checkpoint"))
    assert not torch.equal(first.phonemes.weight, second.phonemes.weight)
    save_heads(first, tmp_path / HEADS)
    take_heads(second, str(tmp_path / "checkpoint"))
    assert torch.equal(first.phonemes.weight, second.phonemes.weight)
    assert torch.equal(first.mouth.bias, second.mouth.bias)
