"""Draws clips by number: who is seen, what is said with which pauses, in which mood. Called by synthetic/write and by
train/data, which draws scripts of many clips together on the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from flashtalk.errors import InputError
from flashtalk.ops.seeds import mixed_seed
from train.clip import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, SPLITS, Clip, Samples
from train.synthetic.motion import Performance, perform
from train.synthetic.phonemes import Phoneme, Utterance
from train.synthetic.render import Renderer
from train.synthetic.traits import Character, caption, draw_character

__all__ = ["Clip", "ClipMaker", "Script", "Speech", "draw_clip"]

FRAMES_AT_ONCE = 32
_CHARACTER_SEEDS = 2**31


class Speech(Protocol):
    """Where sound comes from. The same arguments give the same sound; voices and texts are those of the split alone."""

    def speak(self, seed: int, split: str, seconds: float) -> Sequence[Utterance]:
        """Utterances of one voice, in all about `seconds` or more; at least one."""

    def noise(self, seed: int, split: str, seconds: float) -> Utterance:
        """`seconds` of music, noise or another room: nothing that the character says (no phonemes)."""


@dataclass(frozen=True)
class Script:
    """A clip before it is drawn. sound: exactly 640 samples for each pose; text: all that is said in it.

    kind: speech, noise (the mouth stays shut) or silence.
    """

    number: int
    kind: str
    character: Character
    sound: Utterance
    performance: Performance = field(repr=False)
    caption: str

    @property
    def key(self) -> str:
        """Name in its split."""
        return f"{self.number:08d}"


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How clips are put together; lengths in seconds, drawn evenly from (least, most)."""

    silent_share: float = 0.05
    noise_share: float = 0.2
    starts_silent_share: float = 0.5
    lead_s: tuple[float, float] = (0.15, 1.2)
    pause_s: tuple[float, float] = (0.15, 0.9)
    interlude_share: float = 0.15
    """Pauses that are filled with noise or music instead of silence, and then last three times as long."""


class ClipMaker:
    """Clip `number` of a split, the same for the same seed however many are made and in whatever order.

    frame_count: length of every clip at 25 fps. Raises InputError(split, frame_count).
    """

    def __init__(
        self, seed: int, split: str, speech: Speech, *, frame_count: int = 150, mixture: Mixture | None = None
    ) -> None:
        if split not in SPLITS:
            raise InputError(f"there is no split {split!r}; give one of {', '.join(SPLITS)}", code="split")
        if frame_count < 1:
            raise InputError(f"clips of {frame_count} frames; give 1 or more", code="frame_count")
        self.split, self.frame_count = split, frame_count
        self._seed, self._speech = seed, speech
        self._mixture = mixture or Mixture()

    def script(self, number: int) -> Script:
        """All about a clip but its pictures."""
        seed = mixed_seed(self._seed, self.split, number)
        kind = self._kind(np.random.default_rng(mixed_seed(seed, "kind")))
        character = draw_character(mixed_seed(seed, "character") % _CHARACTER_SEEDS, self.split)
        sound = self._sound(kind, seed)
        performance = perform(sound, self.frame_count, mixed_seed(seed, "motion"))
        return Script(number, kind, character, sound, performance, mood_caption(character, performance.mood))

    def clip(self, number: int, renderer: Renderer, size_px: tuple[int, int]) -> Clip:
        """The whole clip. size_px: (height, width), see Renderer."""
        return draw_clip(self.script(number), renderer, size_px)

    def _kind(self, rng: np.random.Generator) -> str:
        draw, mixture = rng.uniform(), self._mixture
        if draw < mixture.silent_share:
            return "silence"
        return "noise" if draw < mixture.silent_share + mixture.noise_share else "speech"

    def _sound(self, kind: str, seed: int) -> Utterance:
        length = self.frame_count * SAMPLES_PER_FRAME
        seconds = length / SAMPLE_RATE
        if kind == "silence":
            return Utterance(np.zeros(length, np.float32), (), "", "", "silence", self.split, "negative")
        if kind == "noise":
            return join([self._speech.noise(mixed_seed(seed, "noise"), self.split, seconds)], [0.0], length)
        spoken = list(self._speech.speak(mixed_seed(seed, "speech"), self.split, seconds))
        if not spoken or any(one.split != self.split for one in spoken):
            raise InputError(f"there is no speech for the split {self.split!r}; add voices to it", code="no_speech")
        return self._arranged(spoken, seed, length)

    def _arranged(self, spoken: Sequence[Utterance], seed: int, length: int) -> Utterance:
        """What is said, with a silence (or none) before it and pauses, now and then filled with noise, between."""
        rng, mixture = np.random.default_rng(mixed_seed(seed, "pauses")), self._mixture
        parts: list[Utterance] = []
        gaps_s: list[float] = []
        lead_s = rng.uniform(*mixture.lead_s) if rng.uniform() < mixture.starts_silent_share else 0.0
        for place, one in enumerate(spoken):
            gap_s = lead_s if place == 0 else rng.uniform(*mixture.pause_s)
            if place and rng.uniform() < mixture.interlude_share:
                parts.append(self._speech.noise(mixed_seed(seed, "interlude", place), self.split, 3 * gap_s))
                gaps_s.append(0.0)
            parts.append(one)
            gaps_s.append(gap_s)
        return join(parts, gaps_s, length)


def join(parts: Sequence[Utterance], gaps_s: Sequence[float], length: int) -> Utterance:
    """Parts one after the other, each after its gap of silence, cut or filled up with silence to `length` samples.

    Voice, language, source and split are the first speaking part's. Phonemes that begin after the end are dropped.
    """
    samples = np.zeros(length, np.float32)
    phonemes: list[Phoneme] = []
    texts: list[str] = []
    at = 0
    for part, gap_s in zip(parts, gaps_s, strict=True):
        at += round(gap_s * SAMPLE_RATE)
        if at >= length:
            break
        kept: Samples = part.samples[: length - at]
        samples[at : at + len(kept)] = kept
        phonemes += [_later(p, at / SAMPLE_RATE) for p in part.phonemes if p.start_s < (length - at) / SAMPLE_RATE]
        texts.append(part.text)
        at += len(part.samples)
    who = next((part for part in parts if part.phonemes), parts[0])
    text = " ".join(filter(None, texts))
    return Utterance(samples, tuple(phonemes), text, who.language, who.voice, who.split, who.source)


def mood_caption(character: Character, mood: str) -> str:
    """A prompt of at most 60 bytes: the character's caption, and its mood unless that is neutral."""
    words = caption(character)
    if mood == "neutral":
        return words
    who = words.removeprefix("an ").removeprefix("a ")
    return f"{'an' if mood[0] in 'aeiou' else 'a'} {mood} {who}"


def draw_clip(script: Script, renderer: Renderer, size_px: tuple[int, int]) -> Clip:
    """A script's clip, drawn FRAMES_AT_ONCE frames at a time."""
    poses_FP = script.performance.poses_FP
    parts = [
        renderer.frames([script.character] * len(some_FP), some_FP, size_px).cpu()
        for some_FP in poses_FP.split(FRAMES_AT_ONCE)
    ]
    frames_FHWC = torch.cat(parts).permute(0, 2, 3, 1).contiguous().numpy()
    return clip_of(script, frames_FHWC)


def clip_of(script: Script, frames_FHWC: np.ndarray) -> Clip:
    """A script and its pictures, drawn elsewhere."""
    sound = script.sound
    return Clip(
        key=script.key,
        frames_FHWC=frames_FHWC,
        samples=sound.samples,
        poses_FP=script.performance.poses_FP.numpy(),
        caption=script.caption,
        subject=f"character:{script.character.split}:{script.character.seed}",
        voice=sound.voice,
        language=sound.language,
        split=sound.split,
        source="drawn",
        details=_details(script),
    )


def _details(script: Script) -> dict[str, Any]:
    phonemes = [[p.symbol, round(p.start_s, 4), round(p.end_s, 4), p.stress] for p in script.sound.phonemes]
    known = {"kind": script.kind, "mood": script.performance.mood, "text": script.sound.text, "phonemes": phonemes}
    seen = {name: value for name, value in asdict(script.character).items() if name != "numbers"}
    return known | {"character": seen, "speech": script.sound.source, "fps": FPS, "sample_rate": SAMPLE_RATE}


def _later(phoneme: Phoneme, by_s: float) -> Phoneme:
    return Phoneme(phoneme.symbol, phoneme.start_s + by_s, phoneme.end_s + by_s, phoneme.stress)
