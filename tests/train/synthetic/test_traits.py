"""Characters: drawn from a seed, apart between splits, of many kinds; captions fit; poses have their laws."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flashtalk.errors import InputError
from train.synthetic.palette import LIP_CONTRAST, contrast, from_hex, mixed
from train.synthetic.pose import POSE, VISEMES, mouth_opening, poses
from train.synthetic.traits import NUMBERS, SPLITS, caption, draw_character, nearer

SEEDS = st.integers(0, 2**40)


@given(SEEDS, st.sampled_from(SPLITS))
def test_a_seed_is_a_character(seed: int, split: str) -> None:
    a, b = draw_character(seed, split), draw_character(seed, split)
    assert (a, dict(a.numbers)) == (b, dict(b.numbers))
    assert tuple(sorted(a.numbers)) == NUMBERS
    assert all(isinstance(value, float) for value in a.numbers.values())


@given(SEEDS)
def test_splits_share_no_character(seed: int) -> None:
    drawn = [tuple(draw_character(seed, split).numbers.items()) for split in SPLITS]
    assert len(set(drawn)) == len(SPLITS)


@given(SEEDS)
def test_a_caption_is_short_plain_ascii(seed: int) -> None:
    text = caption(draw_character(seed))
    assert text.isascii()
    assert 5 < len(text) <= 40
    assert text.startswith(("a ", "an "))


@given(SEEDS)
def test_lips_stand_off_every_skin(seed: int) -> None:
    numbers = draw_character(seed).numbers
    skin, lip = ((numbers[f"{name}_r"], numbers[f"{name}_g"], numbers[f"{name}_b"]) for name in ("skin", "lip"))
    assert contrast(skin, lip) > LIP_CONTRAST


def test_every_kind_is_drawn_and_none_rules() -> None:
    characters = [draw_character(seed) for seed in range(400)]
    for kinds, least in (("style", 5), ("age", 3), ("hair", 10), ("wears", 6), ("hair_colour", 7)):
        counts = Counter(getattr(character, kinds) for character in characters)
        assert len(counts) >= least
        assert counts.most_common(1)[0][1] < 0.7 * len(characters)
    assert len({caption(character) for character in characters}) > 150


def test_characters_travel_to_workers() -> None:
    character = draw_character(7)
    copy = pickle.loads(pickle.dumps(character))
    assert copy == character
    assert copy.numbers == character.numbers


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="train, validation, test"):
        draw_character(0, "dev")


def test_colours_are_colours() -> None:
    assert from_hex("ffffff") == (1.0, 1.0, 1.0)
    assert mixed((0.0, 0.0, 0.0), (1.0, 0.5, 0.0), 0.5) == (0.5, 0.25, 0.0)


def test_poses_take_numbers_and_series() -> None:
    some = poses(3, jaw=0.5, yaw=[0.1, 0.2, 0.3], blink_left=torch.ones(3))
    assert some.shape == (3, len(POSE))
    assert some[:, POSE.index("jaw")].tolist() == [0.5, 0.5, 0.5]
    assert some[2].sum() == pytest.approx(0.5 + 0.3 + 1.0)


@pytest.mark.parametrize("columns", [{"chin": 1.0}, {"jaw": [1.0, 2.0]}])
def test_wrong_columns_are_refused(columns: dict[str, float]) -> None:
    with pytest.raises(InputError) as caught:
        poses(3, **columns)
    assert caught.value.code == "pose"


UNIT = st.floats(0, 1, width=32)


@given(UNIT, UNIT, UNIT, UNIT, UNIT)
def test_opening_grows_with_the_jaw_and_ends_with_the_press(j: float, u: float, low: float, t: float, p: float) -> None:
    def opening(**columns: float) -> float:
        return float(mouth_opening(poses(1, **columns)))

    base = opening(jaw=j, upper=u, lower=low, tuck=t, press=p)
    assert 0 <= base <= 1
    assert opening(jaw=min(1.0, j + 0.2), upper=u, lower=low, tuck=t, press=p) >= base
    assert opening(jaw=j, upper=u, lower=low, tuck=t, press=1.0) == 0


def test_visemes_open_the_mouth_in_the_right_order() -> None:
    opening = {name: float(mouth_opening(poses(1, **columns))) for name, columns in VISEMES.items()}
    assert opening["rest"] == opening["MBP"] == 0
    assert 0 < opening["FV"] < opening["OO"] < opening["OH"] < opening["AA"]
    assert len(VISEMES) >= 16


@given(SEEDS, st.floats(0.3, 1.0))
def test_a_camera_comes_nearer_and_nothing_else_changes(seed: int, nearest: float) -> None:
    far = draw_character(seed)
    near = nearer(far, nearest)
    share = near.numbers["zoom"] / far.numbers["zoom"]
    assert nearest - 1e-9 <= share <= 1.0 + 1e-9
    assert 0 <= near.numbers["sink"] <= 1
    assert {**near.numbers, "zoom": 0.0, "sink": 1.0} == {**far.numbers, "zoom": 0.0}
    assert nearer(far, 1.0).numbers == far.numbers
