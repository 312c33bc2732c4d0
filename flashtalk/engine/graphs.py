"""The audio encoder as one CUDA graph: its hundreds of small kernels take longer to start than to run.

Put in place by build.py. The transformer's steps are not captured: compiled blocks start faster than they run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from flashtalk.errors import ConfigError
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.pipeline.networks import Networks

MOST_SIZES = 4
"""Each keeps memory of its own; a fifth is computed as without graphs. A stream has one, and most streams the same."""

Compute = Callable[[Tensor], Tensor]
Capture = Callable[[Compute, Tensor], Compute]


class GraphedSound(nn.Module):
    """A SoundEncoder equal to `inner`, captured when a size is first heard. `capture` makes its twin for one size."""

    def __init__(self, inner: AudioEncoder, capture: Capture | None = None) -> None:
        super().__init__()
        self.inner = inner
        self._capture = capture or Recording
        self._recorded: dict[tuple[int, ...], Compute] = {}

    def forward(self, samples_BS: Tensor, num_frames: int) -> Tensor:
        """See AudioEncoder."""
        size = (*samples_BS.shape, num_frames)
        if size not in self._recorded:
            if len(self._recorded) == MOST_SIZES:
                return self.inner(samples_BS, num_frames)
            self._recorded[size] = self._capture(lambda samples: self.inner(samples, num_frames), samples_BS)
        return self._recorded[size](samples_BS)


class Recording:
    """What `compute` does with tensors like `given`, captured once. Calls come one after another, from any stream."""

    def __init__(self, compute: Compute, given: Tensor) -> None:
        self._given = given.clone()
        self._graph = torch.cuda.CUDAGraph()
        self._done = torch.cuda.Event()
        with torch.cuda.device(given.device):
            aside, main = torch.cuda.Stream(), torch.cuda.current_stream()
            aside.wait_stream(main)
            with torch.cuda.stream(aside):
                compute(self._given)  # libraries ask for their memory now
            main.wait_stream(aside)
            # Of this thread alone: another one watches the exchanges between ranks, and may ask the device meanwhile.
            # On `aside`: torch's own stream for this is on whichever device captured first.
            with torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local"):
                self._made = compute(self._given)

    def __call__(self, given: Tensor) -> Tensor:
        """The same of `given`."""
        stream = torch.cuda.current_stream(given.device)
        stream.wait_event(self._done)  # both tensors of the recording are still in use until then
        self._given.copy_(given)
        self._graph.replay()
        made = self._made.clone()
        self._done.record(stream)
        return made


def graph_sound(networks: Networks) -> Networks:
    """The networks with a GraphedSound. Raises ConfigError without a CUDA device."""
    if networks.device.type != "cuda":
        raise ConfigError(f"runtime.cuda_graphs needs a CUDA device, not {networks.device}; leave it off")
    encoder = networks.audio_encoder
    assert isinstance(encoder, AudioEncoder), "graphed once"
    return dataclasses.replace(networks, audio_encoder=GraphedSound(encoder))
