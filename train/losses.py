"""Objectives of SFT and self-correcting DMD as pure float32 functions. Called by train/sft, train/dmd and experiments.

Flow: x_s = (1 - s) x0 + s noise, velocity = noise - x0, level s in 0..1, t = 1000 s as a float, never an index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from flashtalk.errors import InputError

MotionNoise = Literal["none", "same_t"] | float
"""What a score network sees at motion positions: clean latents, noise of the sample's level, or of this level."""

SMALLEST_NORMALISER = 1e-6


def shift_sigma(u: Tensor, shift: float) -> Tensor:
    """s(u) = shift u / (1 + (shift - 1) u), any shape: shift 5 sends .75, .5, .25 to .9375, .8333, .625."""
    return shift * u / (1 + (shift - 1) * u)


def unshift_sigma(sigma: float, shift: float) -> float:
    """The u whose `shift_sigma` is sigma."""
    return sigma / (shift - (shift - 1) * sigma)


def draw_sigma(
    source: torch.Generator | Tensor,
    count: int,
    *,
    shift: float,
    low: float = 0.0,
    high: float = 1.0,
    span: tuple[float, float] = (0.0, 1.0),
) -> Tensor:
    """Levels sigma_B: uniforms (drawn from a generator, or given as [B] in 0..1), shifted, clamped to low..high.

    `span` restricts the distribution itself to an interval of levels, as when a score looks only below the student's
    own level. DMD draws with low .02 and high .98 (Self-Forcing); SFT with the defaults.
    """
    if not 0 <= low < high <= 1 or not 0 <= span[0] < span[1] <= 1:
        raise InputError(f"noise levels {low}..{high} in {span} are not intervals inside 0..1", code="noise_level")
    uniform = source
    if isinstance(source, torch.Generator):
        uniform = torch.rand(count, generator=source, device=source.device)
    assert isinstance(uniform, Tensor)
    assert uniform.shape == (count,), f"{tuple(uniform.shape)} uniforms for {count} samples"
    first, last = (unshift_sigma(level, shift) for level in span)
    return shift_sigma(first + (last - first) * uniform.float(), shift).clamp(low, high)


def mix(clean: Tensor, noise: Tensor, sigma_B: Tensor) -> Tensor:
    """x_s = (1 - s) x0 + s noise, float32, one level a sample."""
    sigma = _beside(sigma_B, clean)
    return (1 - sigma) * clean.float() + sigma * noise.float()


def velocity(clean: Tensor, noise: Tensor) -> Tensor:
    """What the network predicts: noise - x0, from data to noise."""
    return noise.float() - clean.float()


def clean_from_velocity(noisy: Tensor, velocity: Tensor, sigma_B: Tensor) -> Tensor:
    """x0 = x_s - s v, float32."""
    return noisy.float() - _beside(sigma_B, noisy) * velocity.float()


def velocity_from_clean(noisy: Tensor, clean: Tensor, sigma_B: Tensor) -> Tensor:
    """v = (x_s - x0) / s, float32; the levels are above 0."""
    return (noisy.float() - clean.float()) / _beside(sigma_B, noisy)


def free_frames(frame_count: int, motion_B: Tensor) -> Tensor:
    """weight_BT: 0 on the first motion_B[b] latent frames of sample b, which are given, and 1 on the others."""
    frames = torch.arange(frame_count, device=motion_B.device)
    return (frames[None] >= motion_B[:, None]).float()


def pin(latents_BCTHW: Tensor, motion_BCTHW: Tensor, motion_B: Tensor | int | None = None) -> Tensor:
    """The latents with motion in their first frames: motion_B[b] of them, or one number for all, or all of motion.

    `motion` may have more frames than are used and any trailing shape; no gradient reaches the frames replaced.
    """
    given = motion_BCTHW.shape[2]
    if motion_B is None or isinstance(motion_B, int):
        count = given if motion_B is None else motion_B
        return torch.cat((motion_BCTHW[:, :, :count], latents_BCTHW[:, :, count:]), dim=2)
    free = _beside(free_frames(given, motion_B), motion_BCTHW) > 0
    return torch.cat((torch.where(free, latents_BCTHW[:, :, :given], motion_BCTHW), latents_BCTHW[:, :, given:]), dim=2)


def noise_motion(motion_BCTHW: Tensor, noise_BCTHW: Tensor, sigma_B: Tensor, mode: MotionNoise) -> Tensor:
    """Motion latents as a score network gets them (table 3 of the paper).

    Noise of the sample's own level helps only if SFT saw such samples and the fake score gets the very same
    construction; docs/results/experiments shows what happens otherwise.
    """
    if mode == "none":
        return motion_BCTHW
    if mode == "same_t":
        return mix(motion_BCTHW, noise_BCTHW, sigma_B)
    if isinstance(mode, int | float) and 0 <= mode < 1:
        return mix(motion_BCTHW, noise_BCTHW, torch.full_like(sigma_B, mode))
    raise InputError(f"motion noise is none, same_t or a level in 0..1, not {mode!r}", code="motion_noise")


def guided(
    velocity_cond: Tensor, velocity_no_text: Tensor, velocity_null: Tensor, text_scale: float, audio_scale: float
) -> Tensor:
    """The teacher's guidance on velocities or on x0: (text, audio), (no text, audio), (no text, no audio).

    Standard convention: scales of 1 give `velocity_cond`. Self-Forcing's numbers are smaller by one.
    """
    voice = velocity_no_text.float() - velocity_null.float()
    words = velocity_cond.float() - velocity_no_text.float()
    return velocity_null.float() + audio_scale * voice + text_scale * words


def velocity_loss(
    prediction: Tensor, target: Tensor, weight_BT: Tensor | None = None, extra_weight: Tensor | None = None
) -> Tensor:
    """Mean squared error over the free positions of each sample, then over samples, float32.

    The mean of samples makes accumulated and sharded batches equal to the whole one, whatever their motion frames.
    `extra_weight` (a face box, a bell over levels) multiplies errors and is not divided out; it broadcasts.
    """
    squared = (prediction.float() - target.float()).square()
    if extra_weight is not None:
        squared = squared * extra_weight
    return _free_means(squared, weight_BT).mean()


def moving_weight(clean_BCTHW: Tensor, strength: float) -> Tensor:
    """Weights [B, 1, 1, H, W] of mean 1 for `extra_weight`: more where a sample's latents change in time, the mouth and
    the lids. They are small in a picture, and a mean over all of it hardly learns them.

    strength >= 0: 0 weighs all alike; at s a place that changes m times the mean counts 1 + s m beside 1 at rest. It is
    the same for all frames of a sample, so that no frame is preferred to another. Not in the paper.
    """
    spread = clean_BCTHW.float().std(dim=2, keepdim=True).square().mean(1, keepdim=True).sqrt()
    weight = 1 + strength * spread / spread.mean((3, 4), keepdim=True).clamp(min=SMALLEST_NORMALISER)
    return weight / weight.mean((3, 4), keepdim=True)


@dataclass(frozen=True)
class DmdStats:
    """What to watch, as 0-d tensors on the device. None of them is progress; only samples are (training facts 1.7).

    difference: mean |fake - real| before the normaliser; normaliser: its mean over samples; gradient_norm: of the loss
    by `generated`; broken: share of positions whose direction was not finite and was dropped.
    """

    difference: Tensor
    normaliser: Tensor
    gradient_norm: Tensor
    broken: Tensor


def distribution_matching(
    generated: Tensor,
    clean_real: Tensor,
    clean_fake: Tensor,
    weight_BT: Tensor | None = None,
    *,
    normalise: bool = True,
) -> tuple[Tensor, DmdStats]:
    """A loss whose gradient moves `generated` along x0_real - x0_fake (DMD2; section 3.3 of the paper).

    Its gradient by `generated` is (fake - real) / normaliser / (free positions x samples), with the mean of
    |generated - real| over free positions as each sample's normaliser. No gradient reaches the scores.
    """
    weight = None if weight_BT is None else weight_BT.detach()
    with torch.no_grad():
        sample, real, fake = generated.float(), clean_real.float(), clean_fake.float()
        difference_B = _free_means((fake - real).abs(), weight)
        normaliser_B = _free_means((sample - real).abs(), weight).clamp(min=SMALLEST_NORMALISER)
        direction = (fake - real) / _beside(normaliser_B, sample) if normalise else fake - real
        broken = (~direction.isfinite()).float().mean()
        direction = torch.nan_to_num(direction, 0.0, 0.0, 0.0)
        target = sample - direction
        gradient_norm = _mean_gradient(direction, weight).norm()
    loss = 0.5 * _free_means((generated.float() - target).square(), weight).mean()
    return loss, DmdStats(difference_B.mean(), normaliser_B.mean(), gradient_norm, broken)


def motion_alignment_loss(predicted: Tensor, motion: Tensor, weight_BT: Tensor) -> Tensor:
    """Mean squared error of the student's own x0 where motion was given, before it is pinned; weight as `free_frames`.

    Third-party departure against camera drift: `predicted` and `motion` have the same number of frames as weight_BT.
    """
    return velocity_loss(predicted, motion, 1 - weight_BT)


def background_loss(generated: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference where mask (0..1, broadcasts: usually [B, 1, 1, H, W]) says background.

    Third-party departure against slowly changing backgrounds; `reference` is the reference's latents, broadcasting.
    """
    weight = mask.float().expand_as(generated).flatten(1)
    distance = (generated.float() - reference.float()).abs().flatten(1)
    return ((weight * distance).sum(1) / weight.sum(1).clamp(min=1)).mean()


def _beside(values: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, 1, ...] and [B, T] -> [B, 1, T, 1, ...], to multiply `like` [B, C, T, ...]."""
    if values.ndim == 1:
        return values.float().view(-1, *(1,) * (like.ndim - 1))
    return values.float().view(values.shape[0], 1, values.shape[1], *(1,) * (like.ndim - 3))


def _free_means(values: Tensor, weight_BT: Tensor | None) -> Tensor:
    """Weighted mean of each sample; a sample without a free position gives 0."""
    if weight_BT is None:
        return values.flatten(1).mean(1)
    weight = _beside(weight_BT, values).expand_as(values).flatten(1)
    return (values.flatten(1) * weight).sum(1) / weight.sum(1).clamp(min=1e-12)


def _mean_gradient(direction: Tensor, weight_BT: Tensor | None) -> Tensor:
    """Gradient of the mean over samples of the mean over free positions."""
    weight = torch.ones_like(direction)
    if weight_BT is not None:
        weight = _beside(weight_BT, direction).expand_as(direction)
    total = weight.flatten(1).sum(1).clamp(min=1e-12) * direction.shape[0]
    return direction * weight / _beside(total, direction)
