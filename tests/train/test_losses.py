from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from flashtalk.errors import InputError
from flashtalk.pipeline.denoise import clean_estimate, keep_motion
from flashtalk.pipeline.schedule import uniform_schedule
from train.losses import (
    background_loss,
    clean_from_velocity,
    distribution_matching,
    draw_sigma,
    free_frames,
    guided,
    mix,
    motion_alignment_loss,
    moving_weight,
    noise_motion,
    pin,
    shift_sigma,
    unshift_sigma,
    velocity,
    velocity_from_clean,
    velocity_loss,
)

SHAPE = (3, 4, 9, 2, 5)


@pytest.fixture
def drawn() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(7)
    return lambda *shape: torch.randn(shape or SHAPE, generator=generator)


def gaussian_clean(noisy: Tensor, sigma_B: Tensor, mean: Tensor | float, deviation: float) -> Tensor:
    """E[x0 | x_s] when x0 is N(mean, deviation^2): the perfect network for a Gaussian."""
    sigma = sigma_B.view(-1, *(1,) * (noisy.ndim - 1))
    gain = (1 - sigma) * deviation**2 / ((1 - sigma) ** 2 * deviation**2 + sigma**2)
    return mean + gain * (noisy - (1 - sigma) * mean)


# The flow.


@pytest.mark.parametrize("level", [0.02, 0.5, 0.83, 0.98])
def test_velocity_clean_and_noise_are_one_thing(level: float, drawn: Callable[..., Tensor]) -> None:
    clean, noise, sigma_B = drawn(), drawn(), torch.full((3,), level)
    noisy, v = mix(clean, noise, sigma_B), velocity(clean, noise)
    torch.testing.assert_close(clean_from_velocity(noisy, v, sigma_B), clean, atol=1e-5, rtol=0)
    torch.testing.assert_close(velocity_from_clean(noisy, clean, sigma_B), v, atol=1e-4, rtol=0)
    torch.testing.assert_close(noisy + (1 - level) * v, noise, atol=1e-5, rtol=0)
    torch.testing.assert_close(clean_from_velocity(noisy, v, sigma_B), clean_estimate(noisy, v, level))


@pytest.mark.parametrize("level", [0.02, 0.5, 0.98])
def test_difference_of_scores_is_difference_of_clean_estimates(level: float, drawn: Callable[..., Tensor]) -> None:
    noisy, sigma_B = drawn(), torch.full((3,), level)
    velocities = drawn(), drawn()
    scores = [-(noisy + (1 - level) * v) / level for v in velocities]
    cleans = [clean_from_velocity(noisy, v, sigma_B) for v in velocities]
    expected = (1 - level) / level**2 * (cleans[0] - cleans[1])
    torch.testing.assert_close(scores[0] - scores[1], expected, atol=1e-3, rtol=1e-4)


def test_half_precision_is_computed_in_float32() -> None:
    clean, sigma_B = torch.full((1, 2), 3.0, dtype=torch.bfloat16), torch.tensor([0.9375])
    assert mix(clean, clean, sigma_B).dtype == torch.float32
    assert clean_from_velocity(clean, clean, sigma_B).tolist() == [[0.1875, 0.1875]]


def test_shift_is_the_sampler_s() -> None:
    """t = 1000, 937.5, 833.33, 625 and not 937."""
    u = torch.tensor([1, 0.75, 0.5, 0.25, 0])
    torch.testing.assert_close(shift_sigma(u, 5), torch.tensor(uniform_schedule(4, 5)))
    torch.testing.assert_close(1000 * shift_sigma(u, 5)[:4], torch.tensor([1000, 937.5, 833.3333, 625]))
    assert unshift_sigma(0.625, 5) == pytest.approx(0.25)


def test_levels_are_spread_as_the_shift_says() -> None:
    """P(s < .5) = 1/6 and median 5/6 for shift 5; the clamps hold .093 and .004 of the mass."""
    levels = draw_sigma(torch.Generator().manual_seed(1), 200_000, shift=5, low=0.02, high=0.98)
    assert (levels < 0.5).float().mean().item() == pytest.approx(1 / 6, abs=0.005)
    assert levels.median().item() == pytest.approx(5 / 6, abs=0.003)
    assert (levels == 0.98).float().mean().item() == pytest.approx(0.0926, abs=0.004)
    assert (levels == 0.02).float().mean().item() == pytest.approx(0.0041, abs=0.001)


def test_span_cuts_the_distribution_and_does_not_pile_up() -> None:
    uniform = torch.linspace(0, 1, 1001)
    levels = draw_sigma(uniform, 1001, shift=5, span=(0.25, 0.625))
    assert levels[0].item() == pytest.approx(0.25)
    assert levels[-1].item() == pytest.approx(0.625)
    assert len(levels.unique()) == 1001
    torch.testing.assert_close(draw_sigma(uniform, 1001, shift=5), shift_sigma(uniform, 5))


@pytest.mark.parametrize("wrong", [{"low": 0.5, "high": 0.5}, {"high": 1.5}, {"span": (0.8, 0.2)}])
def test_levels_outside_the_flow_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="are not intervals"):
        draw_sigma(torch.zeros(2), 2, shift=5, **wrong)


# Motion.


def test_pinned_frames_forget_what_they_were(drawn: Callable[..., Tensor]) -> None:
    latents, motion = drawn().requires_grad_(), drawn(3, 4, 2, 2, 5)
    torch.testing.assert_close(pin(latents, motion), keep_motion(latents, motion), atol=0, rtol=0)
    count_B = torch.tensor([1, 2, 0])
    pinned = pin(latents, motion, count_B)
    for b, count in enumerate(count_B.tolist()):
        assert pinned[b, :, :count].equal(motion[b, :, :count])
        assert pinned[b, :, count:].equal(latents[b, :, count:])
    (gradient,) = torch.autograd.grad(pinned.square().sum(), latents)
    assert (gradient.abs().sum((1, 3, 4)) > 0).float().equal(free_frames(9, count_B))


def test_pin_takes_one_count_for_all(drawn: Callable[..., Tensor]) -> None:
    latents, clip = drawn(), drawn()
    assert pin(latents, clip, 2).equal(pin(latents, clip, torch.tensor([2, 2, 2])))
    assert pin(latents, clip, 0).equal(latents)


def test_motion_noise(drawn: Callable[..., Tensor]) -> None:
    motion, noise, sigma_B = drawn(), drawn(), torch.tensor([0.2, 0.5, 0.9])
    assert noise_motion(motion, noise, sigma_B, "none") is motion
    assert noise_motion(motion, noise, sigma_B, "same_t").equal(mix(motion, noise, sigma_B))
    torch.testing.assert_close(noise_motion(motion, noise, sigma_B, 0.1), 0.9 * motion + 0.1 * noise)
    for wrong in ("same", 1.0, -0.1):
        with pytest.raises(InputError, match="motion noise is"):
            noise_motion(motion, noise, sigma_B, wrong)  # type: ignore[arg-type]


# Losses of SFT and of the fake score.


def test_given_frames_do_not_count(drawn: Callable[..., Tensor]) -> None:
    weight_BT = free_frames(9, torch.tensor([1, 2, 2]))
    prediction, target, garbage = drawn().requires_grad_(), drawn(), 1e3 * drawn()
    loss = velocity_loss(prediction, target, weight_BT)
    moved = pin(target, garbage, torch.tensor([1, 2, 2]))
    assert velocity_loss(prediction, moved, weight_BT).equal(loss)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert (gradient.abs().sum((1, 3, 4)) > 0).float().equal(weight_BT)


def test_velocity_loss_is_the_mean_over_free_positions(drawn: Callable[..., Tensor]) -> None:
    prediction, target = drawn(), drawn()
    expected = torch.stack([(prediction - target)[b, :, n:].square().mean() for b, n in enumerate((1, 2, 2))]).mean()
    torch.testing.assert_close(velocity_loss(prediction, target, free_frames(9, torch.tensor([1, 2, 2]))), expected)
    torch.testing.assert_close(velocity_loss(prediction, target), (prediction - target).square().mean())


def test_accumulated_batches_equal_the_whole(drawn: Callable[..., Tensor]) -> None:
    """Ranks and micro steps average losses: exact whatever the motion frames of their samples."""
    prediction, target, weight_BT = drawn(), drawn(), free_frames(9, torch.tensor([1, 2, 0]))
    parts = [velocity_loss(prediction[b, None], target[b, None], weight_BT[b, None]) for b in range(3)]
    torch.testing.assert_close(torch.stack(parts).mean(), velocity_loss(prediction, target, weight_BT))
    parts = [distribution_matching(prediction[b, None], target[b, None], target[b, None] + 1)[0] for b in range(3)]
    torch.testing.assert_close(torch.stack(parts).mean(), distribution_matching(prediction, target, target + 1)[0])


def test_extra_weight_multiplies(drawn: Callable[..., Tensor]) -> None:
    prediction, target = drawn(), drawn()
    face = torch.zeros(3, 1, 1, 2, 5)
    face[..., 0, :] = 3
    expected = 3 * (prediction - target)[:, :, :, 0].square().mean() / 2
    torch.testing.assert_close(velocity_loss(prediction, target, None, face), expected)


def test_moving_places_weigh_more_and_the_mean_stays_one() -> None:
    """A lid is a few latents of hundreds: its error must not drown in those of a wall that stands still."""
    clean = torch.randn(2, 4, 1, 6, 6).repeat(1, 1, 9, 1, 1)
    assert torch.equal(moving_weight(clean, 2.0), torch.ones(2, 1, 1, 6, 6))
    clean[0, :, 4, 1, 2] += 3
    weight = moving_weight(clean, 2.0)
    torch.testing.assert_close(weight.mean((1, 2, 3, 4)), torch.ones(2))
    assert (weight[0] > 20 * weight[0, 0, 0, 0, 0]).nonzero().tolist() == [[0, 0, 1, 2]]
    assert torch.equal(moving_weight(clean, 0.0), torch.ones(2, 1, 1, 6, 6))


def test_sample_without_free_frames_costs_nothing(drawn: Callable[..., Tensor]) -> None:
    weight_BT = free_frames(9, torch.tensor([9, 9, 9]))
    assert velocity_loss(drawn(), drawn(), weight_BT).item() == 0


# Guidance.


def test_guidance_of_one_is_the_conditional(drawn: Callable[..., Tensor]) -> None:
    cond, no_text, null = drawn(), drawn(), drawn()
    torch.testing.assert_close(guided(cond, no_text, null, 1, 1), cond)
    torch.testing.assert_close(guided(cond, no_text, null, 0, 1), no_text)
    torch.testing.assert_close(guided(cond, no_text, null, 0, 0), null)


def test_guidance_moves_a_gaussian_s_mean(drawn: Callable[..., Tensor]) -> None:
    """Equal variances: guided x0 is that of the mean m_null + a (m_audio - m_null) + w (m_cond - m_audio)."""
    noisy, sigma_B = drawn(), torch.tensor([0.1, 0.5, 0.95])
    cleans = [gaussian_clean(noisy, sigma_B, mean, 0.3) for mean in (2.0, 1.5, -1.0)]
    expected = gaussian_clean(noisy, sigma_B, -1 + 4 * 2.5 + 3 * 0.5, 0.3)
    torch.testing.assert_close(guided(*cleans, 3, 4), expected, atol=1e-4, rtol=1e-4)
    by_velocity = guided(*(velocity_from_clean(noisy, clean, sigma_B) for clean in cleans), 3, 4)
    torch.testing.assert_close(clean_from_velocity(noisy, by_velocity, sigma_B), expected, atol=1e-4, rtol=1e-4)


# Distribution matching.


@pytest.mark.parametrize("level", [0.02, 0.3, 0.625, 0.9375, 0.98])
def test_descent_goes_from_the_student_to_the_teacher(level: float, drawn: Callable[..., Tensor]) -> None:
    """A student N(b, .3), a teacher N(2, .3), both exact: the gradient points from b to 2, and vanishes at b = 2."""

    def gradient_at(b: float) -> Tensor:
        noise = torch.randn(256, 1, generator=torch.Generator().manual_seed(3))
        shift = torch.tensor(b, requires_grad=True)
        generated, sigma_B = shift + 0.3 * noise, torch.full((256,), level)
        noisy = mix(generated.detach(), torch.randn(256, 1, generator=torch.Generator().manual_seed(4)), sigma_B)
        real, fake = gaussian_clean(noisy, sigma_B, 2.0, 0.3), gaussian_clean(noisy, sigma_B, b, 0.3)
        loss, _ = distribution_matching(generated, real, fake)
        return torch.autograd.grad(loss, shift)[0]

    assert gradient_at(-1.0).item() < 0, "descent must raise b"
    assert gradient_at(5.0).item() > 0, "descent must lower b"
    assert gradient_at(2.0).item() == pytest.approx(0, abs=1e-6)


def test_gradient_is_the_normalised_difference(drawn: Callable[..., Tensor]) -> None:
    generated, real, fake = drawn().requires_grad_(), drawn().requires_grad_(), drawn().requires_grad_()
    counts = torch.tensor([1, 2, 2])
    weight_BT = free_frames(9, counts)
    loss, stats = distribution_matching(generated, real, fake, weight_BT)
    gradient, *others = torch.autograd.grad(loss, (generated, real, fake), allow_unused=True)
    assert others == [None, None], "scores get no gradient"
    for b, n in enumerate(counts.tolist()):
        normaliser = (generated - real)[b, :, n:].abs().mean()
        expected = (fake - real)[b, :, n:] / normaliser / (fake[b, :, n:].numel() * 3)
        torch.testing.assert_close(gradient[b, :, n:], expected)
        assert gradient[b, :, :n].abs().max() == 0
    assert not stats.difference.requires_grad
    torch.testing.assert_close(stats.gradient_norm, gradient.norm())
    assert stats.broken.item() == 0


def test_normaliser_makes_the_scale_of_latents_irrelevant(drawn: Callable[..., Tensor]) -> None:
    generated, real, fake = drawn(), drawn(), drawn()
    scaled = distribution_matching(100 * generated, 100 * real, 100 * fake)[0]
    torch.testing.assert_close(distribution_matching(generated, real, fake)[0], scaled)
    raw = distribution_matching(generated, real, fake, normalise=False)[0]
    torch.testing.assert_close(raw, 0.5 * (fake - real).square().mean())


def test_broken_score_stops_the_sample_and_no_other(drawn: Callable[..., Tensor]) -> None:
    generated, real, fake = drawn().requires_grad_(), drawn(), drawn()
    fake[0, 0, 0, 0, 0] = torch.nan
    real[1, 0, 0, 0, 0] = torch.inf
    loss, stats = distribution_matching(generated, real, fake)
    (gradient,) = torch.autograd.grad(loss, generated)
    assert gradient.isfinite().all()
    assert gradient[0, 0, 0, 0, 0] == 0
    assert gradient[1].abs().max() == 0
    assert stats.broken.item() > 0
    others = distribution_matching(generated[2:], real[2:], fake[2:])[0]
    torch.testing.assert_close(gradient[2:] * 3, torch.autograd.grad(others, generated)[0][2:])


def test_perfect_sample_has_a_finite_gradient(drawn: Callable[..., Tensor]) -> None:
    generated = drawn().requires_grad_()
    loss, stats = distribution_matching(generated, generated.detach(), generated.detach())
    assert loss.item() == 0
    assert stats.normaliser.item() == pytest.approx(1e-6)


# The departures of the third-party reproduction.


def test_alignment_sees_given_frames_only(drawn: Callable[..., Tensor]) -> None:
    predicted, motion, weight_BT = drawn(), drawn(), free_frames(9, torch.tensor([2, 2, 2]))
    expected = (predicted - motion)[:, :, :2].square().mean()
    torch.testing.assert_close(motion_alignment_loss(predicted, motion, weight_BT), expected)


def test_background_is_compared_where_the_mask_says(drawn: Callable[..., Tensor]) -> None:
    generated, reference, mask = drawn().requires_grad_(), drawn(3, 4, 1, 2, 5), torch.zeros(3, 1, 1, 2, 5)
    mask[..., 1, :] = 1
    loss = background_loss(generated, reference, mask)
    torch.testing.assert_close(loss, (generated - reference)[..., 1, :].abs().mean())
    (gradient,) = torch.autograd.grad(loss, generated)
    assert gradient[..., 0, :].abs().max() == 0
    assert background_loss(generated, reference, torch.zeros_like(mask)).item() == 0
