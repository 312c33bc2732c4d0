"""What the audio encoder hears in training: the last seconds before a frame, with rooms, noise and microphones.

Called by train/voice.py (which trains the encoder) and train/data.py (which fills pools with its features).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flashtalk.config import StreamConfig
from train.synthetic.augment import Augment

STARTS_SILENT = 0.5
"""Share of contexts with silence before the clip, as at a stream's start; the others go on from another clip."""


@dataclass(frozen=True)
class Listener:
    """Contexts of `stream.audio_context_s` that end with a given frame, as pipeline/window cuts them."""

    samples_NS: Tensor
    """int16, all clips."""
    stream: StreamConfig
    augment: Augment | None

    def hear(self, clip_B: Tensor, end_frame_B: Tensor, generator: torch.Generator) -> Tensor:
        """samples_BS float32 of context length; the clip's sample 0 is its frame 0. `generator` is on the device."""
        device = self.samples_NS.device
        length = round(self.stream.audio_context_s * self.stream.sample_rate)
        end_B = end_frame_B.to(device) * self.stream.samples_per_frame
        time_BS = end_B[:, None] + torch.arange(-length, 0, device=device)
        before = time_BS < 0
        clip_length = self.samples_NS.shape[1]
        own = self.samples_NS[clip_B.to(device)[:, None], time_BS.clamp(0, clip_length - 1)].float() / 32768
        other_B = torch.randint(len(self.samples_NS), (len(end_B),), generator=generator, device=device)
        past = self.samples_NS[other_B[:, None], time_BS.remainder(clip_length)].float() / 32768
        silent_B = torch.rand(len(end_B), generator=generator, device=device) < STARTS_SILENT
        heard = torch.where(before, past * ~silent_B[:, None], own)
        return heard if self.augment is None else self.augment(heard, generator)
