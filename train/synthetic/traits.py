"""Who a character is: words for the caption and numbers for the renderer. Called by synthetic/clips and render."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from flashtalk.errors import InputError
from train.synthetic import looks
from train.synthetic.hairstyles import draw_hair
from train.synthetic.wardrobe import draw_clothes

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Character:
    """One character. Two with the same split, seed and view are the same; numbers: head units, colours."""

    seed: int
    split: str
    style: str
    age: str
    feminine: bool
    hair: str
    hair_colour: str
    wears: str
    numbers: Mapping[str, float] = field(repr=False, hash=False, compare=False)
    view: tuple[float, float] = (1.0, 1.0)
    """See `framed`."""


def draw_character(seed: int, split: str = "train") -> Character:
    """The character of a seed: always the same. Splits are disjoint draws from one distribution."""
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r}; characters are drawn for {', '.join(SPLITS)}", code="split")
    r = Random(f"character/{split}/{seed}")
    who = looks.draw_identity(r)
    numbers = looks.draw_face(r, who) | looks.draw_eyes(r, who)
    numbers |= looks.draw_mouth(r, who) | looks.draw_skin(r, who)
    hair, hair_colour, hair_numbers = draw_hair(r, who)
    numbers |= hair_numbers
    numbers["ear_x"] -= numbers.pop("ear_tuck")
    wears, clothes = draw_clothes(r, who, hair, numbers)
    numbers |= clothes
    numbers |= looks.draw_style(r, who) | looks.draw_light(r) | looks.draw_camera(r, numbers)
    return Character(seed, split, who.style, who.age, who.feminine, hair, hair_colour, wears, numbers)


def framed(character: Character, share: float, sink: float = 1.0) -> Character:
    """The same before a camera that shows `share` of the usual view.

    sink: whether a tall picture shows more below (1) or is the middle of a square one (0), as a portrait that was cut.
    """
    zoom = character.numbers["zoom"] * share
    return replace(character, numbers={**character.numbers, "zoom": zoom, "sink": sink}, view=(share, sink))


def nearer(character: Character, nearest: float) -> Character:
    """The same before a camera that shows from `nearest` (0 to 1) to all of the usual view; always the same one.

    With a nearer one, tall pictures are also framed as a cut square would be, or between that and their own way.
    """
    if nearest == 1:
        return character
    r = Random(f"camera/{character.split}/{character.seed}")
    return framed(character, r.uniform(nearest, 1.0), r.random())


def caption(character: Character) -> str:
    """What one sees, in plain English, at most 40 bytes."""
    if character.style == "creature":
        return f"a furry {character.hair}" + (f" with {character.wears}" if character.wears else "")
    noun = {"child": ("boy", "girl"), "adult": ("man", "woman"), "elder": ("old man", "old woman")}[character.age]
    person = f"a {noun[character.feminine]}" if character.age != "elder" else f"an {noun[character.feminine]}"
    details = [f"{character.hair_colour} {character.hair}" if character.hair_colour else character.hair]
    details.append(character.wears)
    text = person
    for joint, detail in zip((" with ", ", "), [d for d in details if d], strict=False):
        if len((text + joint + detail).encode()) <= 40:
            text += joint + detail
    return text


NUMBERS: tuple[str, ...] = tuple(sorted(draw_character(0).numbers))
