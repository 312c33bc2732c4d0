"""What a trained audio encoder understands of a whole recording: phonemes in steps of 10 ms, for alignments
(synthetic/align). Opened by `python -m train.synthetic.corpus --reader`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.config_file import load_model_config
from flashtalk.errors import InputError
from flashtalk.models.audio_encoder import AudioEncoder
from train.stages import MODEL_FILE, get_module
from train.synthetic.align import HOP_S
from train.synthetic.phonemes import SAMPLE_RATE, Samples

HEADS = "heads.safetensors"
"""What train.voice leaves beside its checkpoint: the weights that read phonemes and mouths off the last layer."""
_EDGE_FRAMES = 10
"""Of a context, those at either end that another context hears better."""
_LEAD_S, _TAIL_S = 1.0, 0.5
"""Silence around a recording: encoders are trained on streams, which begin with it."""


@dataclass(frozen=True)
class PhoneReader:
    """An encoder as a stream uses it, and the head that `train.voice` left beside it."""

    encoder: AudioEncoder
    weight_CD: Tensor
    bias_C: Tensor
    stream: StreamConfig

    @torch.no_grad()
    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        """log-probabilities_RC, a row for each 10 ms from the recording's start to its end.

        The encoder reads frames of 40 ms: the sound is heard four times, each time 10 ms later.
        """
        frame, hop = self.stream.samples_per_frame, round(HOP_S * SAMPLE_RATE)
        lead, tail = round(_LEAD_S * SAMPLE_RATE), round(_TAIL_S * SAMPLE_RATE)
        sound_S = F.pad(torch.from_numpy(samples), (lead, tail + frame))
        length = (len(sound_S) - frame) // frame * frame
        shifted_BS = torch.stack([sound_S[shift : shift + length] for shift in range(0, frame, hop)])
        rows_RC = self._read(shifted_BS).transpose(0, 1).flatten(0, 1)
        first = lead // hop
        return rows_RC[first : first + -(-len(samples) // hop)].numpy()

    def _read(self, sound_BS: Tensor) -> Tensor:
        """log-probabilities_BFC of frames of 40 ms, from contexts of at most a stream's length that overlap."""
        frame = self.stream.samples_per_frame
        count = sound_BS.shape[1] // frame
        context = min(count, round(self.stream.audio_context_s * self.stream.fps))
        starts = [*range(0, count - context, context - 2 * _EDGE_FRAMES), count - context]
        rows = sound_BS.new_empty(len(sound_BS), count, len(self.bias_C))
        for start in starts:
            kept = _EDGE_FRAMES if start else 0
            hidden_BFD = self.encoder(sound_BS[:, start * frame : (start + context) * frame], context)[:, :, -1].float()
            rows[:, start + kept : start + context] = F.linear(hidden_BFD, self.weight_CD, self.bias_C)[:, kept:]
        return rows.log_softmax(-1)


def load_heads(file: Path) -> dict[str, Tensor]:
    """What train.voice left beside its checkpoint. Raises InputError(reader_missing)."""
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{file.parent} holds no reader of phonemes ({error}); give the folder that train.voice wrote",
            code="reader_missing",
        ) from error


def open_phone_reader(folder: Path) -> PhoneReader:
    """What `train.voice` wrote to its `run.out`. Raises InputError(reader_missing), ConfigError, CheckpointError."""
    heads, model = load_heads(folder / HEADS), load_model_config(folder / "checkpoint" / MODEL_FILE)
    weights = str(folder / "checkpoint")
    encoder = get_module(model, "audio_encoder", torch.device("cpu"), weights=weights, required=True)
    assert isinstance(encoder, AudioEncoder)
    return PhoneReader(encoder, heads["phonemes.weight"], heads["phonemes.bias"], StreamConfig())
