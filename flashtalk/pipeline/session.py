"""One visitor's stream: sound in any pieces in, chunks of frames with their sound out. Opened by engine/engine.py.

The algorithm (paper, section 2.1): a chunk is denoised with the last frames of the one before as
motion latents, decoded, matched in colour to the portrait; its last frames are encoded again for the next chunk.
All that differs between two visitors is in a Session; networks are shared and hold nothing of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.errors import InputError, SessionClosed
from flashtalk.ops.clock import StageClock
from flashtalk.ops.memory_guard import out_of_memory_as_error
from flashtalk.ops.streams import SideStream
from flashtalk.ops.transfer import to_host
from flashtalk.pipeline import session_file
from flashtalk.pipeline.bridge import Bridge
from flashtalk.pipeline.chunk import render_chunk
from flashtalk.pipeline.conditioning import check_portrait, conditioning_from_rows, make_conditioning
from flashtalk.pipeline.denoise import build_sampler
from flashtalk.pipeline.listener import Listener
from flashtalk.pipeline.loudness import LoudnessGain
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.noise import SeededNoise
from flashtalk.pipeline.outlet import OnFrames, Outlet, check_finite, keep_quiet
from flashtalk.pipeline.window import SoundWindow, check_samples
from flashtalk.types import Conditioning, NoiseSource, Portrait, VideoChunk, WindowSource

REWINDABLE_CHUNKS = 4

Turns = AbstractContextManager[object]
"""A lock, or what stands in for one."""


@dataclass(frozen=True)
class Progress:
    """Where a stream stands between two chunks."""

    chunk_index: int
    frame: int
    motion_CTHW: Tensor
    """Motion latents of the next chunk: of the portrait at first (T = 1), of the last frames later."""
    fresh: bool
    """Whether the next chunk starts from the portrait (a stream's first, or after a change of portrait)."""
    shown_HWC: np.ndarray | None = None
    """The last frame of the chunk before, uint8, where `stream.bridge_frames` wants it."""


class Session:
    """See the module's docstring. Not thread-safe by itself; sessions of one engine take turns through `lock`."""

    def __init__(
        self,
        networks: Networks,
        stream: StreamConfig,
        conditioning: Conditioning,
        *,
        noise: NoiseSource | None = None,
        windows: WindowSource | None = None,
        lock: Turns | None = None,
    ) -> None:
        self.stream = stream
        self._networks = networks
        check_portrait(conditioning.portrait, networks.codec, stream)
        self._colour_strength = stream.colour_strength
        self._conditioning = conditioning
        self._noise = noise or SeededNoise(stream.seed, networks.device)
        self._windows = windows
        self._lock = lock or threading.Lock()
        self._sampler = build_sampler(networks.dit, stream.steps, stream.shift)
        self._sound = SoundWindow(round(stream.audio_context_s * stream.sample_rate), _gain(stream))
        self._progress = Progress(0, 0, conditioning.portrait.motion_CTHW, fresh=True)
        self._rewind: deque[tuple[Progress, dict[str, np.ndarray]]] = deque(maxlen=REWINDABLE_CHUNKS)
        self._clock = StageClock(networks.device)
        self._out = SideStream(networks.device, "frames", on=networks.overlap.copy_beside)
        ahead = networks.overlap.audio_ahead and windows is None and networks.device.type == "cuda"
        self._listener = Listener(stream, SideStream(networks.device, "sound") if ahead else None)
        self._ended = False
        self._closed = False

    # What a caller does, in the order of a stream's life.

    def feed(self, samples_S: np.ndarray) -> Iterator[VideoChunk]:
        """Add sound (float32 mono at `stream.sample_rate`, in [-1, 1]) and give every chunk that is then complete.

        The sound is taken at once; chunks are computed as the iterator is read.
        """
        self.push(samples_S)
        return self._drain()

    def flush(self) -> Iterator[VideoChunk]:
        """End the sound: give what is left, the last chunk cut to the sound's length. Feeding again is refused."""
        self._check_open()
        self._ended = True
        return self._drain()

    def push(self, samples_S: np.ndarray) -> None:
        """Add sound without computing anything. Raises InputError, SessionClosed."""
        self._check_open()
        check_samples(samples_S)
        self._sound.push(samples_S)

    def ready(self) -> bool:
        """Whether `step` has a chunk to compute."""
        start, _ = self._next_span()
        if self._ended or self._closed:
            return not self._closed and self._sound.end > start * self.stream.samples_per_frame
        return self._sound.end >= self.samples_needed

    @torch.inference_mode()
    def step(self, on_frames: OnFrames = keep_quiet) -> VideoChunk:
        """Compute the next chunk; `ready()` must hold. After an error nothing has moved: it may be tried again.

        `on_frames` gets the chunk's frames in one or two pieces (`runtime.early_frames`) while the rest is computed.
        """
        self._check_alive()
        assert self.ready(), "step() without enough sound"
        before = (self._progress, self._sound.state())
        with self._lock, out_of_memory_as_error("this chunk"):
            self._clock.clear()
            started = time.perf_counter()
            try:
                frames, motion = self._compute(on_frames)
            except BaseException:
                self._sound.restore(before[1], self._sound.waiting())
                raise
            timings = self._clock.read() | {"total": time.perf_counter() - started}
        self._rewind.append(before)
        return self._advance(frames, motion, timings)

    def interrupt(self, shown_chunks: int | None = None) -> None:
        """Stop speaking: sound that no chunk took is dropped, and so are chunks after the first `shown_chunks`.

        What is fed next follows the last chunk that was shown: feed silence, and the mouth closes within that chunk.
        A stream may go back by REWINDABLE_CHUNKS chunks; None keeps all that were computed.
        """
        self._check_open()
        now = self._progress.chunk_index
        wanted, oldest = now if shown_chunks is None else shown_chunks, now - len(self._rewind)
        if not oldest <= wanted <= now:
            raise InputError(
                f"cannot go back to chunk {wanted}: the stream stands at {now} and keeps what leads back to {oldest}",
                code="interrupt_range",
            )
        for _ in range(now - wanted):
            self._progress, sound = self._rewind.pop()
            self._sound.restore(sound, np.empty(0, np.float32))
        self._sound.drop_waiting()

    def set_prompt(self, prompt: str) -> None:
        """Use another prompt from the next chunk on."""
        self._check_open()
        with torch.inference_mode(), self._lock, out_of_memory_as_error("the prompt"):
            self._conditioning = make_conditioning(self._networks, self._conditioning.portrait, prompt)

    def set_portrait(self, portrait: Portrait) -> None:
        """Cut to another portrait with the next chunk. The prompt stays; `engine.portrait(...)` makes portraits."""
        self._check_open()
        check_portrait(portrait, self._networks.codec, self.stream)
        with torch.inference_mode(), self._lock, out_of_memory_as_error("the portrait"):
            self._conditioning = conditioning_from_rows(self._networks, portrait, self._conditioning.text_LD)
        self._rewind.clear()
        self._progress = replace(self._progress, motion_CTHW=portrait.motion_CTHW, fresh=True)

    def save(self, path: str | Path) -> None:
        """Write all that the future of this stream depends on; `engine.restore(path)` goes on bit for bit."""
        self._check_alive()
        session_file.write_bytes(Path(path), self._dump(self._sound.waiting(), self._ended))

    def snapshot(self) -> bytes:
        """The same without the sound that no chunk took and without its end, which the caller feeds again."""
        self._check_alive()
        return self._dump(np.empty(0, np.float32), ended=False)

    def _dump(self, waiting_S: np.ndarray, ended: bool) -> bytes:
        now, portrait = self._progress, self._conditioning.portrait
        tensors = {"progress.motion": now.motion_CTHW, "text": self._conditioning.text_LD}
        arrays = self._sound.state() | {"waiting": waiting_S}
        tensors |= {f"sound.{name}": torch.from_numpy(array) for name, array in arrays.items()}
        tensors |= session_file.portrait_tensors(portrait)
        if now.shown_HWC is not None:
            tensors["progress.shown"] = torch.from_numpy(now.shown_HWC)
        header = session_file.Header(
            fingerprint=self._networks.fingerprint,
            stream=self.stream,
            colour_strength=self.colour_strength,
            chunk_index=now.chunk_index,
            frame=now.frame,
            fresh=now.fresh,
            ended=ended,
        )
        return session_file.dump(header, tensors)

    @classmethod
    @torch.inference_mode()
    def restore(cls, networks: Networks, saved: str | Path | bytes, lock: Turns | None = None) -> Session:
        """The stream that `save` wrote or `snapshot` gave. Raises InputError if it is damaged or of another model."""
        if isinstance(saved, bytes):
            header, tensors = session_file.load(saved, "the snapshot", networks.fingerprint)
        else:
            header, tensors = session_file.read(Path(saved), networks.fingerprint)
        on_device = {name: tensor.to(networks.device) for name, tensor in tensors.items()}
        portrait = session_file.portrait_from(on_device)
        session = cls(networks, header.stream, conditioning_from_rows(networks, portrait, on_device["text"]), lock=lock)
        session._colour_strength, session._ended = header.colour_strength, header.ended
        shown_HWC = tensors["progress.shown"].numpy() if "progress.shown" in tensors else None
        motion_CTHW = on_device["progress.motion"]
        session._progress = Progress(header.chunk_index, header.frame, motion_CTHW, header.fresh, shown_HWC)
        sound = {k.removeprefix("sound."): v.numpy() for k, v in tensors.items() if k.startswith("sound.")}
        session._sound.restore(sound, sound.pop("waiting"))
        return session

    def close(self) -> None:
        """Refuse further work; allowed at any time, any number of times. Its memory is free once nobody holds it."""
        self._closed = True
        self._rewind.clear()

    @property
    def colour_strength(self) -> float:
        """How far colours are matched to the portrait, 0 to 1; may be set between chunks."""
        return self._colour_strength

    @colour_strength.setter
    def colour_strength(self, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise InputError(f"colour strength {strength} must lie in 0..1", code="colour_strength")
        self._colour_strength = strength

    @property
    def frames_done(self) -> int:
        """Frames given out so far."""
        return self._progress.frame

    @property
    def samples_fed(self) -> int:
        """Samples that came in so far, those that wait for their chunk included."""
        return self._sound.end

    @property
    def samples_needed(self) -> int:
        """The sample up to which sound must be there for the next chunk."""
        return (self._next_span()[1] + self.stream.lookahead_frames) * self.stream.samples_per_frame

    # How a chunk is made.

    def _drain(self) -> Iterator[VideoChunk]:
        while self.ready():
            yield self.step()

    def _compute(self, on_frames: OnFrames) -> tuple[np.ndarray, Tensor]:
        networks, stream, span, now = self._networks, self.stream, self._clock.span, self._progress
        frames = stream.first_chunk_frames if now.fresh else stream.chunk_frames
        with span("audio"):
            windows = self._windows(now.chunk_index, frames) if self._windows else self._listen(frames)
        shown = -(-self._sound.end // stream.samples_per_frame) - now.frame
        outlet = Outlet(frames - stream.motion_frames, shown, self._out, on_frames, span)
        latent_frames = 1 + (frames - 1) // networks.codec.temporal_stride
        shape = (now.motion_CTHW.shape[0], latent_frames, *now.motion_CTHW.shape[2:])
        chunk = render_chunk(
            networks.dit,
            networks.codec,
            self._sampler,
            lambda draw: self._noise(now.chunk_index, draw, shape)[None],
            now.motion_CTHW,
            self._conditioning,
            windows,
            motion_frames=stream.motion_frames,
            colour_strength=self._colour_strength,
            span=span,
            bridge=self._bridge(),
            early=networks.overlap.early_frames,
            give=outlet.put,
        )
        total = to_host(chunk.motion_CTHW.sum())  # NaN or inf if anything in them is
        if self._listener.works_ahead:
            self._listen_ahead()
        frames_FHWC = outlet.wait()
        if networks.device.type == "cuda":
            torch.cuda.current_stream(networks.device).synchronize()
        check_finite(total)
        return frames_FHWC, chunk.motion_CTHW

    def _bridge(self) -> Bridge | None:
        shown_HWC = None if self._progress.fresh else self._progress.shown_HWC
        if shown_HWC is None or not self.stream.bridge_frames:
            return None
        return Bridge(shown_HWC, self.stream.bridge_frames, self._networks.device)

    def _listen(self, frames: int) -> Tensor:
        ahead = self.stream.lookahead_frames * self.stream.samples_per_frame
        return self._listener.windows(self._networks, self._sound.hear_until(self.samples_needed, ahead), frames)

    def _listen_ahead(self) -> None:
        """Begin with the sound of the chunk after the one in work, if it is there."""
        stream, (_, start) = self.stream, self._next_span()
        needed = self.samples_needed + (stream.chunk_frames - stream.motion_frames) * stream.samples_per_frame
        if self._sound.end >= needed or (self._ended and self._sound.end > start * stream.samples_per_frame):
            self._listener.begin(self._networks, self._sound.peek_until(needed), stream.chunk_frames)

    def _advance(self, frames_FHWC: np.ndarray, motion_CTHW: Tensor, timings_s: dict[str, float]) -> VideoChunk:
        per_frame = self.stream.samples_per_frame
        now = self._progress
        samples = self._sound.take(now.frame * per_frame, (now.frame + len(frames_FHWC)) * per_frame)
        shown = -(-len(samples) // per_frame)
        last_HWC = frames_FHWC[-1].copy() if self.stream.bridge_frames else None
        self._progress = Progress(now.chunk_index + 1, now.frame + shown, motion_CTHW, fresh=False, shown_HWC=last_HWC)
        return VideoChunk(
            now.chunk_index,
            now.frame,
            frames_FHWC[:shown],
            samples,
            self.stream.sample_rate,
            self.stream.fps,
            timings_s,
        )

    def _next_span(self) -> tuple[int, int]:
        stream, start = self.stream, self._progress.frame
        frames = stream.first_chunk_frames if self._progress.fresh else stream.chunk_frames
        return start, start + frames - stream.motion_frames

    def _check_open(self) -> None:
        self._check_alive()
        if self._ended:
            raise SessionClosed("this session's sound was ended by flush(); open a new session to go on")

    def _check_alive(self) -> None:
        if self._closed:
            raise SessionClosed("this session is closed; open a new one")


def _gain(stream: StreamConfig) -> LoudnessGain | None:
    return None if stream.loudness_lufs is None else LoudnessGain(stream.loudness_lufs, stream.sample_rate)
