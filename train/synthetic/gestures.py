"""All that moves besides the mouth: blinks, glances, brows, nods, drifting posture, breath. Called by synthetic/motion.

Every gesture has its own random numbers, drawn frame after frame, so that a longer performance begins as a shorter one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from flashtalk.ops.seeds import mixed_seed
from train.synthetic.phonemes import VOWELS, Phoneme
from train.synthetic.visemes import Array

FPS = 25

BOUNDS: Mapping[str, float] = {
    **{"yaw": 0.35, "pitch": 0.2, "roll": 0.15, "lean": 0.1, "turn": 0.2, "shift_x": 0.12, "shift_y": 0.08},
    **{"gaze_x": 0.9, "gaze_y": 0.7},
}
"""How far a column goes to either side, at most: the head stays well framed."""


@dataclass(frozen=True)
class Mood:
    """A steady set of the face (as in POSE) and how lively the rest moves (1 is ordinary)."""

    smile: float = 0.0
    brow: float = 0.0
    frown: float = 0.0
    squint: float = 0.0
    lid: float = 0.0
    """How far the lids hang."""
    pitch: float = 0.0
    energy: float = 1.0
    blinking: float = 1.0
    articulation: float = 1.0


MOODS: Mapping[str, Mood] = {
    "neutral": Mood(),
    "happy": Mood(smile=0.5, brow=0.12, squint=0.28, energy=1.2, articulation=1.03),
    "serious": Mood(brow=-0.22, frown=0.3, energy=0.7),
    "surprised": Mood(brow=0.8, energy=1.0, blinking=0.7, articulation=1.05),
    "tired": Mood(brow=-0.05, lid=0.3, pitch=0.05, energy=0.5, blinking=1.3, articulation=0.88),
    "lively": Mood(smile=0.22, brow=0.2, squint=0.08, energy=1.6, articulation=1.06),
    "sad": Mood(brow=0.25, frown=0.5, lid=0.12, pitch=0.07, energy=0.55, articulation=0.92),
    "angry": Mood(brow=-0.45, frown=0.85, squint=0.3, energy=1.15, articulation=1.05),
}

_BLINKS_HZ = (0.15, 0.4)
_BLINK_S = (0.2, 0.3)
_BLINK_PAUSE_FRAMES, _BLINK_PAUSE_CHANCE = 6, 0.9
"""A pause of so many frames is nearly always blinked in: what is seen of speech, a model can learn from its sound."""
_BLINK_REST = 12
"""Frames between two blinks at least."""
_GAZE_PER_YAW, _GAZE_PER_PITCH = -0.7 / 0.45, 0.6 / 0.35
"""Eyes keep looking into the camera while the head turns: most of the turn, at 0.45 and 0.35 rad a unit of gaze."""


class Gestures:
    """Draws the columns of one performance of `frame_count` frames at 25 fps."""

    def __init__(self, phonemes: Sequence[Phoneme], frame_count: int, seed: int, mood: Mood) -> None:
        self._count = frame_count
        self._seed = seed
        self._mood = mood
        self._phonemes = phonemes
        self._time_s = np.arange(frame_count) / FPS
        self._speaking = _speaking(phonemes, self._time_s)
        self._activity = lfilter([0.08], [1, -0.92], self._speaking)
        steady = self._rng("mood").uniform(0.8, 1.15)
        self._face = {name: steady * getattr(mood, name) for name in ("smile", "brow", "frown", "squint", "lid")}

    def columns(self) -> dict[str, Array]:
        """POSE column -> [F], without the mouth (`smile` is the mood's, to be added to what speech wants)."""
        head = self._head()
        return head | self._eyes(head) | self._expression() | self._body(head)

    def _rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng(mixed_seed(self._seed, name))

    def _drift(self, name: str, width_s: float) -> Array:
        """Low-pass noise of variance 1, [F]."""
        sigma = width_s * FPS
        reach = round(3 * sigma)
        white = self._rng(name).standard_normal(self._count + 2 * reach)
        smooth = gaussian_filter1d(white, sigma, mode="constant", radius=reach)
        return smooth[reach : reach + self._count] * np.sqrt(2 * np.sqrt(np.pi) * sigma)

    def _energy(self) -> Array:
        """How much the head moves: less while silent."""
        return self._mood.energy * (0.5 + 0.5 * self._activity)

    def _beats(self, name: str, chance: float, size: tuple[float, float]) -> Array:
        """Bumps of half a second at some of the stressed vowels, in either half of `size` at random, [F]."""
        rng = self._rng(name)
        onset_s = np.array([p.start_s for p in self._phonemes if p.stress == 1 and p.symbol in VOWELS])
        draws = rng.uniform(size=(len(onset_s), 2))
        chosen = draws[:, 0] < chance
        height = size[0] + (size[1] - size[0]) * draws[chosen, 1]
        since_s = self._time_s[:, None] - onset_s[chosen]
        bumps = _ease((since_s + 0.06) / 0.18) * _ease((0.45 - since_s) / 0.3)
        return np.max(bumps * height, axis=1, initial=0.0)

    def _head(self) -> dict[str, Array]:
        energy = self._energy()
        nod, tilt = self._beats("nod", 0.4, (0.025, 0.08)), self._beats("tilt", 0.25, (0.01, 0.05))
        side = np.tanh(3 * self._drift("side", 1.0))
        yaw = 0.1 * self._drift("yaw", 1.4) + energy * 0.05 * self._drift("yaw_quick", 0.3)
        pitch = 0.03 * self._drift("pitch", 1.4) + energy * (0.025 * self._drift("pitch_quick", 0.25) + nod)
        roll = 0.03 * self._drift("roll", 1.5) + energy * (0.022 * self._drift("roll_quick", 0.35) + tilt * side)
        return _bounded({"yaw": yaw, "pitch": pitch + self._mood.pitch, "roll": roll})

    def _eyes(self, head: dict[str, Array]) -> dict[str, Array]:
        gaze_x, gaze_y = self._gaze().T
        lid = np.maximum(self._blinks(), self._face["lid"] * (1 + 0.2 * self._drift("lid", 0.8)))
        kept_x, kept_y = _GAZE_PER_YAW * head["yaw"], _GAZE_PER_PITCH * head["pitch"]
        gaze = _bounded({"gaze_x": gaze_x + kept_x, "gaze_y": gaze_y + kept_y})
        return gaze | {"blink_left": lid.clip(0, 1), "blink_right": lid.clip(0, 1)}

    def _gaze(self) -> Array:
        """Fixations [F, 2]: on the camera with tiny shifts, now and then a glance aside."""
        rng, spots, frames = self._rng("gaze"), [], 0
        while frames < self._count + 1:
            aside, lasts = rng.uniform() < 0.13, int(rng.uniform(8, 32))
            spots.append(np.tile(rng.normal(size=2) * ((0.3, 0.14) if aside else (0.035, 0.025)), (lasts, 1)))
            frames += lasts
        steps = np.concatenate([np.zeros((1, 2)), *spots])[: self._count + 2]
        return 0.2 * steps[:-2] + 0.6 * steps[1:-1] + 0.2 * steps[2:]

    def _blinks(self) -> Array:
        """0 open to 1 shut, [F]; shut in the very frame of its peak."""
        rng = self._rng("blink")
        rate = rng.uniform(*_BLINKS_HZ) * self._mood.blinking
        lasts_s = rng.uniform(*_BLINK_S) * (1.0 if self._mood.lid < 0.2 else 1.15)
        # A little beyond the end, because a blink that peaks there has begun before.
        speaking = _speaking(self._phonemes, np.arange(self._count + _BLINK_REST) / FPS)
        silent = _silent_frames(speaking)
        chance = 1 - np.exp(-rate * np.where(silent == 0, 0.6, 1.0) / FPS)
        chance[silent == _BLINK_PAUSE_FRAMES] = _BLINK_PAUSE_CHANCE
        peaks: list[int] = []
        for frame in np.flatnonzero(rng.uniform(size=len(chance)) < chance):
            if not peaks or frame - peaks[-1] >= _BLINK_REST:
                peaks.append(int(frame))
        since_s = self._time_s[:, None] - np.array(peaks) / FPS
        shut = _ease(1 + since_s / (0.4 * lasts_s)) * _ease(1 - since_s / (0.6 * lasts_s))
        return np.max(shut, axis=1, initial=0.0)

    def _expression(self) -> dict[str, Array]:
        energy, slow = self._energy(), self._drift("face", 1.2)
        brow = self._face["brow"] + 0.05 * slow + energy * self._beats("brow", 0.35, (0.12, 0.5))
        smile = self._face["smile"] * (1 + 0.12 * self._drift("smile", 1.0)) + 0.03 * np.maximum(slow, 0)
        squint = self._face["squint"] + 0.04 * self._drift("squint", 0.9)
        frown = self._face["frown"] * (1 + 0.15 * self._drift("frown", 1.0))
        named = {"smile": smile, "squint": squint, "frown": frown}
        return {"brow": brow.clip(-1, 1)} | {name: column.clip(0, 1) for name, column in named.items()}

    def _body(self, head: dict[str, Array]) -> dict[str, Array]:
        energy = self._energy()
        pace_hz = self._rng("breath").uniform(0.2, 0.3)
        turns = np.cumsum(pace_hz * (1 + 0.12 * self._drift("breath_pace", 2.0))) / FPS + self._rng("phase").uniform()
        breath = 0.5 - 0.5 * np.cos(2 * np.pi * turns)
        moves = {
            "lean": 0.025 * self._drift("lean", 1.8) + 0.25 * head["roll"],
            "turn": 0.04 * self._drift("turn", 2.0) + 0.25 * head["yaw"],
            "shift_x": 0.03 * self._drift("shift_x", 1.8) + 0.012 * energy * self._drift("shift_x_quick", 0.4),
            "shift_y": 0.015 * self._drift("shift_y", 1.8) + 0.01 * energy * self._drift("shift_y_quick", 0.35),
        }
        shrug = 0.08 * breath + energy * self._beats("shrug", 0.04, (0.25, 0.7))
        return _bounded(moves) | {"breath": breath, "shrug": shrug.clip(0, 1)}


def _ease(x: Array) -> Array:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _bounded(columns: dict[str, Array]) -> dict[str, Array]:
    """Nearly unchanged in the middle, never beyond BOUNDS."""
    return {name: BOUNDS[name] * np.tanh(column / BOUNDS[name]) for name, column in columns.items()}


def _speaking(phonemes: Sequence[Phoneme], time_s: Array) -> Array:
    """1 where a phoneme sounds, else 0, [F]."""
    edges = np.array([edge for p in phonemes for edge in (p.start_s, p.end_s)])
    return (np.searchsorted(edges, time_s, side="right") % 2).astype(np.float64)


def _silent_frames(speaking: Array) -> Array:
    """How many frames it has been silent, this one included, [F]; much at the beginning."""
    spoke = np.maximum.accumulate(np.where(speaking > 0, np.arange(len(speaking)), -1000))
    return (np.arange(len(speaking)) - spoke).astype(np.float64)
