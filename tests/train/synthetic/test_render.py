"""Laws of the renderer: same in, same out; a pose moves its own part; the mouth's truth is what is seen."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from flashtalk.errors import InputError
from train.synthetic.pose import POSE, VISEMES, mouth_opening, poses
from train.synthetic.render import LENS, Renderer, through_lens
from train.synthetic.sheet import tiled
from train.synthetic.traits import Character, draw_character, framed

SIZE = (112, 112)
SEEDS = (4, 30)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(torch.device("cpu"))


@pytest.fixture(scope="module")
def characters() -> list[Character]:
    return [draw_character(seed) for seed in SEEDS]


def draw(renderer: Renderer, character: Character, **columns: float) -> Tensor:
    return renderer.frames([character], poses(1, **columns), SIZE)[0].float()


def changed_rows_and_columns(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Where in the picture (0 to 1, downwards and to the right) two pictures clearly differ."""
    moved = ((a - b).abs().amax(0) > 255 * LENS).nonzero()  # more than the lens lets into a neighbour
    assert len(moved)
    return moved[:, 0] / a.shape[1], moved[:, 1] / a.shape[2]


def test_a_picture_depends_on_nothing_but_its_own_row(renderer: Renderer, characters: list[Character]) -> None:
    a, b = characters
    together = renderer.frames([b, a, a], poses(3, jaw=[0.5, 0.0, 0.5], yaw=[0.2, 0.0, -0.2]), SIZE)
    alone = Renderer(torch.device("cpu")).frames([b], poses(1, jaw=0.5, yaw=0.2), SIZE)
    assert together.dtype == torch.uint8
    assert together.shape == (3, 3, *SIZE)
    assert (together[0].int() - alone[0].int()).abs().max() <= 1
    assert (together[1].float() - together[2].float()).abs().mean() > 1


def test_the_jaw_moves_only_the_lower_face(renderer: Renderer, characters: list[Character]) -> None:
    for character in characters:
        rows, columns = changed_rows_and_columns(draw(renderer, character), draw(renderer, character, jaw=0.7))
        assert rows.quantile(0.03) > 0.5
        assert rows.quantile(0.9) < 0.9
        assert columns.quantile(0.03) > 0.2
        assert columns.quantile(0.97) < 0.8


def test_one_blink_moves_one_eye(renderer: Renderer, characters: list[Character]) -> None:
    for character in characters:
        rest = draw(renderer, character)
        for side, low, high in (("left", 0.5, 0.75), ("right", 0.25, 0.5)):
            rows, columns = changed_rows_and_columns(rest, draw(renderer, character, **{f"blink_{side}": 1.0}))
            assert rows.min() > 0.3
            assert rows.max() < 0.62
            assert low <= columns.min()
            assert columns.max() <= high


def test_shrug_and_breath_leave_the_face_alone(renderer: Renderer, characters: list[Character]) -> None:
    rest = draw(renderer, characters[0])
    rows, _ = changed_rows_and_columns(rest, draw(renderer, characters[0], shrug=1.0))
    assert rows.min() > 0.6
    assert (draw(renderer, characters[0], breath=1.0) - rest).abs().mean() > 0.05


def test_a_shift_moves_the_whole_picture_by_that_much(renderer: Renderer, characters: list[Character]) -> None:
    rest, moved = (draw(renderer, characters[0], shift_x=x) for x in (0.0, 0.2))
    step_px = round(0.2 * SIZE[0] / (2 * characters[0].numbers["zoom"]) * 7 / 6.3)
    for part in (slice(40, 72), slice(100, 112)):
        aligned = (moved[:, part, 20 + step_px : 92 + step_px] - rest[:, part, 20:92]).abs().mean()
        assert aligned < 0.5 * (moved[:, part, 20:92] - rest[:, part, 20:92]).abs().mean()


def mouth_area(pixels: Tensor, shut: Tensor) -> float:
    """Pixels about the mouth that are neither lips nor skin: as dark or as white as only its inside is."""
    region = (slice(None), slice(60, 104), slice(36, 76))
    return float(((pixels[region] - shut[region]).abs().amax(0) > 45).sum())


def test_the_mouth_seen_follows_its_truth(renderer: Renderer, characters: list[Character]) -> None:
    jaws = torch.linspace(0, 1, 6)
    for character in characters:
        frames = renderer.frames([character] * 6, poses(6, jaw=jaws), SIZE).float()
        seen = torch.tensor([mouth_area(frame, frames[0]) for frame in frames])
        truth = mouth_opening(poses(6, jaw=jaws))
        assert torch.corrcoef(torch.stack((seen, truth)))[0, 1] > 0.93


def test_every_viseme_is_another_picture(renderer: Renderer, characters: list[Character]) -> None:
    shown = [
        columns for name, columns in VISEMES.items() if name in ("rest", "MBP", "FV", "SZ", "AA", "OO", "OH", "EE")
    ]
    frames = renderer.frames([characters[0]] * len(shown), torch.cat([poses(1, **c) for c in shown]), SIZE).float()
    mouths = frames[:, :, 60:104, 36:76]
    for a, b in pairwise(mouths):
        assert (a - b).abs().mean() > 1.5


@pytest.mark.parametrize("size_px", [(128, 64), (64, 128), (96, 80)])
def test_any_allowed_size_shows_the_head(
    renderer: Renderer, characters: list[Character], size_px: tuple[int, int]
) -> None:
    rest, blink = (
        renderer.frames(characters[:1], poses(1, **c), size_px)[0].float() for c in ({}, {"blink_left": 1.0})
    )
    assert rest.shape == (3, *size_px)
    rows, columns = changed_rows_and_columns(rest, blink)
    assert rows.min() > 0.15
    assert rows.max() < 0.65
    assert columns.min() >= 0.5
    assert columns.max() < 0.8


def test_four_samples_agree_with_one(characters: list[Character]) -> None:
    one, four = (
        Renderer(torch.device("cpu"), samples_per_axis=n).frames(characters[:1], poses(1), (64, 64)).float()
        for n in (1, 2)
    )
    assert (one - four).abs().mean() < 5


def test_the_lens_softens_edges_and_keeps_light() -> None:
    flat, step = torch.full((1, 3, 8, 8), 0.3), torch.zeros(1, 3, 8, 8)
    step[..., 4:] = 1
    torch.testing.assert_close(through_lens(flat), flat)
    soft = through_lens(step)
    assert soft.mean() == pytest.approx(0.5)
    assert soft[0, 0, 0].tolist() == pytest.approx([0, 0, 0, LENS, 1 - LENS, 1, 1, 1])


def test_compiled_falls_back_where_there_is_no_gpu(renderer: Renderer, characters: list[Character]) -> None:
    same = Renderer(torch.device("cpu"), compiled=True).frames(characters[:1], poses(1), (64, 64))
    assert torch.equal(same, renderer.frames(characters[:1], poses(1), (64, 64)))


def test_padding_of_compiled_batches_changes_nothing(renderer: Renderer, characters: list[Character]) -> None:
    padded = Renderer(torch.device("cpu"))
    padded._full_batches = True
    assert torch.equal(
        padded.frames(characters[:1], poses(1), (64, 64)), renderer.frames(characters[:1], poses(1), (64, 64))
    )


@pytest.mark.parametrize("size_px", [(100, 96), (96, 208), (0, 0), (16, 48)])
def test_wrong_sizes_are_refused(renderer: Renderer, characters: list[Character], size_px: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="pixels") as caught:
        renderer.frames(characters[:1], poses(1), size_px)
    assert caught.value.code == "size"


def test_wrong_poses_and_samples_are_refused(renderer: Renderer, characters: list[Character]) -> None:
    for wrong in (poses(2), torch.zeros(1, len(POSE) - 1)):
        with pytest.raises(InputError) as caught:
            renderer.frames(characters[:1], wrong, SIZE)
        assert caught.value.code == "poses"
    with pytest.raises(InputError):
        renderer.frames([], poses(0), SIZE)
    with pytest.raises(InputError):
        Renderer(torch.device("cpu"), samples_per_axis=3)


def test_a_sheet_puts_pictures_in_reading_order() -> None:
    pixels = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert tiled(pixels, 2)[:, :, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_a_tall_picture_without_sink_is_the_middle_of_a_square_one(
    renderer: Renderer, characters: list[Character]
) -> None:
    who, (height, width) = characters[0], (160, 96)
    square = renderer.frames([who], poses(1), (height, height))[0].float()
    cut = framed(who, (width / height) ** 0.65, sink=0.0)  # the same renderer: it must not take it for `who`
    tall = renderer.frames([cut], poses(1), (height, width))[0].float()
    side = (height - width) // 2
    assert (square[:, :, side : side + width] - tall).abs().mean() < 1
