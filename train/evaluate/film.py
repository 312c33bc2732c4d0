"""Films and what is measured of their frames, chunk by chunk: an hour takes little more memory than a minute.

`generate` asks a session, `watch` takes what is drawn; both give a Film. Called by evaluate/studio and truth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.session import Session
from flashtalk.types import NoiseSource, VideoChunk
from train.evaluate import pictures
from train.judge.network import OUTPUTS, Judge
from train.synthetic.render import Renderer
from train.synthetic.traits import Character

DRAW_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """All that a session needs: networks, stream settings and, for a teacher, its own noise."""

    networks: Networks
    stream: StreamConfig
    noise: NoiseSource | None = None

    def chunks(self, portrait_HWC: np.ndarray, prompt: str, samples_S: np.ndarray) -> Iterator[VideoChunk]:
        """A whole talk, chunk by chunk, as a visitor would get it."""
        with torch.inference_mode():
            portrait = make_portrait(self.networks, portrait_HWC, self.stream.chunk_frames)
            conditioning = make_conditioning(self.networks, portrait, prompt)
        session = Session(self.networks, self.stream, conditioning, noise=self.noise)
        session.push(samples_S)
        yield from session.flush()
        session.close()


@dataclass(frozen=True, kw_only=True)
class Track:
    """What was measured of every frame: the judge's readings, sharpness, colours, change to the frame before."""

    judged_FJ: np.ndarray
    sharpness_F: np.ndarray
    lab_FC: np.ndarray
    palette_FB: np.ndarray
    change_F: np.ndarray
    flicker_F: np.ndarray
    """Change of the pixels that stand still in the drawing; NaN where no such pixels are known."""

    def judged(self, *names: str) -> np.ndarray:
        """Readings [F, names] of these outputs; one name gives F."""
        columns = self.judged_FJ[:, [OUTPUTS.index(name) for name in names]]
        return columns[:, 0] if len(names) == 1 else columns

    def __len__(self) -> int:
        return len(self.judged_FJ)


@dataclass(frozen=True, kw_only=True)
class Film:
    """Some or all frames [K, H, W, C], which ones they are, the measures of all, and seconds a chunk (if generated)."""

    frames_FHWC: np.ndarray
    kept: tuple[int, ...]
    track: Track
    chunk_seconds: tuple[float, ...] = ()
    chunk_frames: tuple[int, ...] = ()

    @property
    def pictures(self) -> dict[int, np.ndarray]:
        """Frame -> picture [H, W, 3] of those that were kept."""
        return dict(zip(self.kept, self.frames_FHWC, strict=True))

    @property
    def fps(self) -> float:
        """Frames by computing time, the first two chunks (which warm up) left out if there are others."""
        skip = 2 if len(self.chunk_seconds) > 3 else 0
        seconds = sum(self.chunk_seconds[skip:])
        return sum(self.chunk_frames[skip:]) / seconds if seconds else float("nan")


@dataclass
class Watcher:
    """Takes frames as they come and measures them."""

    judge: Judge
    still_HW: np.ndarray | None = None
    keep: Collection[int] | None = None
    """Which frames to keep; None keeps all."""
    _parts: list[Track] = field(default_factory=list)
    _frames: list[np.ndarray] = field(default_factory=list)
    _kept: list[int] = field(default_factory=list)
    _before: Tensor | None = None
    _seen: int = 0

    def add(self, frames_FHWC: np.ndarray | Tensor) -> None:
        """Measure the next frames, which may lie on any device."""
        if isinstance(frames_FHWC, np.ndarray):
            frames_FHWC = torch.from_numpy(np.ascontiguousarray(frames_FHWC))
        self._parts.append(self._measured(frames_FHWC.to(self.judge.mean.device)))
        for index in range(len(frames_FHWC)):
            if self.keep is None or self._seen + index in self.keep:
                self._frames.append(frames_FHWC[index].cpu().numpy())
                self._kept.append(self._seen + index)
        self._seen += len(frames_FHWC)

    def film(self, chunk_seconds: Iterable[float] = (), chunk_frames: Iterable[int] = ()) -> Film:
        """All that was seen."""
        assert self._parts, "a film without frames"
        names = Track.__dataclass_fields__
        joined = {name: np.concatenate([getattr(part, name) for part in self._parts]) for name in names}
        frames = np.stack(self._frames) if self._frames else np.zeros((0, 1, 1, 3), np.uint8)
        return Film(
            frames_FHWC=frames,
            kept=tuple(self._kept),
            track=Track(**joined),
            chunk_seconds=tuple(chunk_seconds),
            chunk_frames=tuple(chunk_frames),
        )

    def _measured(self, frames: Tensor) -> Track:
        before, self._before = self._before, frames[-1]
        unknown = np.full(len(frames), np.nan)
        known = self.still_HW is not None
        return Track(
            judged_FJ=self.judge.read(frames),
            sharpness_F=pictures.sharpness(frames),
            lab_FC=pictures.mean_lab(frames),
            palette_FB=pictures.palette(frames),
            change_F=pictures.changes(frames, before),
            flicker_F=pictures.changes(frames, before, self.still_HW) if known else unknown,
        )


def generate(speaker: Speaker, portrait_HWC: np.ndarray, prompt: str, samples_S: np.ndarray, watcher: Watcher) -> Film:
    """What the model shows for a picture and a sound."""
    seconds, counts = [], []
    for chunk in speaker.chunks(portrait_HWC, prompt, samples_S):
        watcher.add(chunk.frames_FHWC)
        seconds.append(chunk.timings_s["total"])
        counts.append(len(chunk.frames_FHWC))
    return watcher.film(seconds, counts)


def draw(renderer: Renderer, character: Character, poses_FP: Tensor, size_px: tuple[int, int]) -> Tensor:
    """The drawn truth: uint8 frames_FHWC of these poses, on the renderer's device."""
    parts = [renderer.frames([character] * len(part), part, size_px) for part in poses_FP.split(DRAW_BATCH)]
    return torch.cat(parts).permute(0, 2, 3, 1).contiguous()


def watch(judge: Judge, frames_FHWC: Tensor, watcher: Watcher | None = None) -> Film:
    """Measures of frames that are there already; without a watcher none of them is kept."""
    watcher = watcher or Watcher(judge, keep=())
    for part in frames_FHWC.split(DRAW_BATCH):
        watcher.add(part)
    return watcher.film()
