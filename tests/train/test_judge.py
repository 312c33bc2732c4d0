"""The judge: its examples tell the truth, it learns, and a folder gives back what was saved or a typed error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from flashtalk.errors import CheckpointError, ConfigError
from train.judge.examples import Examples, colours, random_poses, targets, worsen
from train.judge.files import load_judge, save_judge
from train.judge.network import OUTPUTS, Judge, JudgeConfig, to_square
from train.judge.training import JudgePlan, Pool, agreement, learn, normalise, rate_at, train_judge, validate
from train.synthetic.pose import POSE, mouth_opening, poses
from train.synthetic.render import Renderer
from train.synthetic.traits import draw_character

CPU = torch.device("cpu")
TINY = JudgeConfig(picture_px=64, mouth_px=32, widths=(8, 16, 24), hidden=32)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(CPU)


def frames(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def test_saved_and_loaded_judges_agree(tmp_path: Path) -> None:
    judge = Judge(TINY).eval()
    judge.mean.fill_(0.25)
    save_judge(judge, tmp_path, {"seconds": 1.0})
    again = load_judge(tmp_path, CPU)
    np.testing.assert_array_equal(judge.read(frames(3, 64, 64)), again.read(frames(3, 64, 64)))
    assert again.config == TINY
    assert not any(p.requires_grad for p in again.parameters())


def test_damage_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train a judge"):
        load_judge(tmp_path, CPU)
    save_judge(Judge(TINY), tmp_path, {})
    settings = tmp_path / "judge.json"
    good = settings.read_text()
    other = good.replace('"jaw"', '"chin"')
    for text in ("{", "[]", "{}", other, good.replace('"hidden": 32', '"hidden": "x"')):
        settings.write_text(text)
        with pytest.raises(CheckpointError, match="train"):
            load_judge(tmp_path, CPU)
    settings.write_text(good.replace('"hidden": 32', '"hidden": 16'))
    with pytest.raises(CheckpointError, match="damaged"):
        load_judge(tmp_path, CPU)
    settings.write_text(good)
    weights = tmp_path / "judge.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_judge(tmp_path, CPU)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 64), (64, 96), (33, 47)])
def test_any_size_is_read(height: int, width: int) -> None:
    said = Judge(TINY).eval().read(frames(2, height, width))
    assert said.shape == (2, len(OUTPUTS))
    assert np.isfinite(said).all()


def test_squares_keep_the_shape_of_things() -> None:
    wide = torch.full((1, 3, 32, 64), 255, dtype=torch.uint8)
    square = to_square(wide, 64)
    assert square.shape == (1, 3, 64, 64)
    assert square[:, :, 16:48].min() == 1
    assert square[:, :, :16].abs().max() < 0.01, "grey beside the picture"


def test_read_uses_the_outputs_own_units() -> None:
    judge = Judge(TINY).eval()
    plain = judge.read(frames(2, 64, 64))
    judge.mean.fill_(3)
    judge.std.fill_(2)
    np.testing.assert_allclose(judge.read(frames(2, 64, 64)), 2 * plain + 3, rtol=1e-5, atol=1e-5)


def test_targets_are_the_pose_and_the_characters_colours() -> None:
    character = next(c for c in map(draw_character, range(200)) if c.hair_colour)
    bald = next(c for c in map(draw_character, range(200)) if c.hair == "no hair")
    poses_BP = poses(2, jaw=[0.3, 0.9], blink_left=1.0, blink_right=0.5, yaw=[-0.2, 0.1])
    said = targets([character, bald], poses_BP)
    column = {name: said[:, i] for i, name in enumerate(OUTPUTS)}
    torch.testing.assert_close(column["mouth_opening"], mouth_opening(poses_BP))
    assert column["jaw"].tolist() == pytest.approx([0.3, 0.9])
    assert column["yaw"].tolist() == pytest.approx([-0.2, 0.1])
    assert column["blink"].tolist() == [0.75, 0.75]
    assert column["hair_l"].isnan().tolist() == [False, True]
    assert not column["clothes_b"].isnan().any()


def test_white_clothes_are_white() -> None:
    character = draw_character(0)
    numbers = dict(character.numbers) | {"cloth_r": 1.0, "cloth_g": 1.0, "cloth_b": 1.0}
    object.__setattr__(character, "numbers", numbers)
    assert colours([character])[0, 6:].tolist() == pytest.approx([100, 0, 0], abs=0.1)


def test_poses_are_in_range_and_every_third_mouth_is_shut() -> None:
    drawn = random_poses(3000, torch.Generator().manual_seed(0))
    assert drawn.shape == (3000, len(POSE))
    signed = {"wide", "gaze_x", "gaze_y", "brow", "yaw", "pitch", "roll", "shift_x", "shift_y", "lean", "turn"}
    for column, name in enumerate(POSE):
        assert drawn[:, column].max() <= 1, name
        assert drawn[:, column].min() >= (-1 if name in signed else 0), name
    opening = mouth_opening(drawn)
    assert 0.3 < (opening < 0.01).float().mean() < 0.5
    assert (opening > 0.8).float().mean() > 0.03
    torch.testing.assert_close(drawn, random_poses(3000, torch.Generator().manual_seed(0)))


def test_examples_repeat_by_seed_and_differ_by_split(renderer: Renderer) -> None:
    first, again, other = (Examples(renderer, split, 0, 64).draw(3) for split in ("train", "train", "validation"))
    assert first[0].shape == (3, 3, 64, 64)
    assert first[0].dtype == torch.uint8
    torch.testing.assert_close(first, again, equal_nan=True)
    assert (first[0] != other[0]).any()


def test_worsened_pictures_stay_pictures() -> None:
    squares = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
    worse = worsen(squares, torch.Generator().manual_seed(0))
    assert worse.shape == squares.shape
    assert worse.abs().max() <= 1
    assert (worse - (squares.float() / 127.5 - 1)).abs().mean() > 0.01


def test_pool_forgets_the_oldest() -> None:
    pool = Pool(4)
    for value in range(1, 7):
        pool.add(torch.full((1, 3, 2, 2), value, dtype=torch.uint8), torch.full((1, 2), float(value)))
    squares, wanted = pool.take(200, torch.Generator().manual_seed(0))
    assert set(wanted[:, 0].tolist()) == {3, 4, 5, 6}
    assert (squares[:, 0, 0, 0].float() == wanted[:, 0]).all()


def test_agreement_of_known_numbers() -> None:
    true = torch.tensor([1.0, 2, 3, float("nan")])
    assert agreement(true, true) == {"r2": 1, "correlation": 1, "error": 0}
    off = agreement(torch.tensor([2.0, 3, 4, 9]), true)
    assert off == pytest.approx({"r2": -0.5, "correlation": 1, "error": 1})


def test_learning_rate_rises_then_falls() -> None:
    rates = [rate_at(i / 100) for i in range(100)]
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates.index(max(rates)) == 5
    assert rates[-1] < 0.03


def test_it_learns_what_it_sees(renderer: Renderer) -> None:
    """A dozen pictures, by heart."""
    torch.manual_seed(0)
    judge, draw = Judge(TINY), torch.Generator().manual_seed(0)
    squares, wanted = Examples(renderer, "train", 0, 64).draw(12)
    normalise(judge, wanted)
    assert judge.std[OUTPUTS.index("skin_l")] > 3, "colours are learnt in their own unit"
    optimiser = torch.optim.AdamW(judge.parameters(), lr=3e-3)
    losses = [float(learn(judge, optimiser, squares, wanted, draw)) for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_a_training_is_told_and_gives_a_judge_that_reads(renderer: Renderer) -> None:
    told: list[dict] = []
    plan = JudgePlan(iterations=2, batch=2, fresh=2, pool=4, tell_every=1, validation=3)
    judge = train_judge(renderer, TINY, plan, CPU, told.append)
    assert [row["iteration"] for row in told] == [0, 1]
    assert not judge.training
    assert set(validate(judge, renderer, plan)) == set(OUTPUTS)
    with pytest.raises(ConfigError, match="pool at least fresh"):
        train_judge(renderer, TINY, JudgePlan(pool=1), CPU, told.append)
