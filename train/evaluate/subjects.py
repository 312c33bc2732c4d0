"""Who is filmed: characters that nobody trained on, with the picture that a session starts from. Used by studio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flashtalk.ops.seeds import mixed_seed
from train.evaluate.film import Film, draw, watch
from train.judge.network import Judge
from train.synthetic.clips import mood_caption
from train.synthetic.pose import poses
from train.synthetic.render import Renderer
from train.synthetic.traits import Character, draw_character, nearer

MOOD = "neutral"
IDENTITY = (*(f"{part}_{axis}" for part in ("skin", "hair", "clothes") for axis in "lab"), "shift_x", "shift_y")
"""The judge's outputs that tell one character, and where it sits, from another."""


@dataclass(frozen=True)
class Subject:
    """One character that nobody trained on, its picture (calm, mouth closed), its words, and the judge's view of it."""

    name: str
    seed: int
    character: Character
    prompt: str
    portrait_HWC: np.ndarray
    portrait_film: Film


def make_subject(
    index: int,
    seed: int,
    split: str,
    renderer: Renderer,
    judge: Judge,
    size_px: tuple[int, int],
    nearest: float = 1.0,
) -> Subject:
    """The `index`-th subject of a run; the same arguments give the same one."""
    own = mixed_seed(seed, "subject", index) % 2**31
    character = nearer(draw_character(own, split), nearest)
    portrait = draw(renderer, character, poses(1), size_px)
    return Subject(
        f"{split} {index}",
        own,
        character,
        mood_caption(character, MOOD),
        portrait[0].cpu().numpy(),
        watch(judge, portrait),
    )
