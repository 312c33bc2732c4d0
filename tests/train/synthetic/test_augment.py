import dataclasses

import numpy as np
import pytest
import torch

from flashtalk.errors import InputError
from train.synthetic import augment
from train.synthetic.augment import Augment, AugmentConfig
from train.synthetic.negatives import draw_negative

SHARES = [field.name for field in dataclasses.fields(AugmentConfig) if field.name.endswith("_share")]


def bursts(rows: int, length: int) -> torch.Tensor:
    """Something like speech: noise in syllables."""
    generator = torch.Generator().manual_seed(1)
    envelope = torch.sin(torch.arange(length) / 16000 * 2 * torch.pi * 3)[None].clamp_min(0)
    return 0.3 * envelope * torch.randn(rows, length, generator=generator)


def lag(one: torch.Tensor, other: torch.Tensor) -> int:
    """Where the cross-correlation of two rows is highest, in samples."""
    size = 2 * len(one)
    spectrum = torch.fft.rfft(other, size) * torch.fft.rfft(one, size).conj()
    best = int(torch.fft.irfft(spectrum, size).argmax())
    return best if best < len(one) else best - size


def run(config: AugmentConfig, samples: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return Augment(config)(samples, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [name for name in SHARES if name != "clean_share"])
def test_each_effect_keeps_length_time_and_range(share: str) -> None:
    dry = bursts(6, 24000)
    only = AugmentConfig(**{name: float(name == share) for name in SHARES})
    wet = run(only, dry)
    assert wet.shape == dry.shape
    assert wet.abs().max() <= 1
    assert wet.isfinite().all()
    assert [lag(*pair) for pair in zip(dry, wet, strict=True)] == [0] * 6
    plain = run(AugmentConfig(**dict.fromkeys(SHARES, 0.0)), dry)
    scaled = wet * (plain * wet).sum(1, keepdim=True) / wet.square().sum(1, keepdim=True)
    assert (scaled - plain).norm() > 1e-3 * plain.norm(), f"{share} changes nothing"


def test_all_effects_together_keep_time() -> None:
    dry = bursts(16, 24000)
    assert [lag(*pair) for pair in zip(dry, run(AugmentConfig(), dry), strict=True)] == [0] * 16


def test_the_same_generator_gives_the_same_sound_and_another_another() -> None:
    dry = bursts(3, 9000)
    assert torch.equal(run(AugmentConfig(), dry, 5), run(AugmentConfig(), dry, 5))
    assert not torch.equal(run(AugmentConfig(), dry, 5), run(AugmentConfig(), dry, 6))


def test_clean_rows_are_only_scaled() -> None:
    dry = bursts(4, 8000)
    wet = run(AugmentConfig(**dict.fromkeys(SHARES, 1.0)), dry)
    ratio = (wet / dry)[dry.abs() > 0.01].reshape(-1)
    assert all(torch.allclose(w / w.abs().max(), d / d.abs().max(), atol=1e-6) for w, d in zip(wet, dry, strict=True))
    assert ratio.min() > 0


def test_silence_stays_finite_and_meets_noise() -> None:
    wet = run(AugmentConfig(clean_share=0.0, noise_share=1.0), torch.zeros(4, 8000))
    assert wet.isfinite().all()
    assert (wet.abs().amax(1) > 1e-4).all()


def test_noise_has_the_asked_ratio() -> None:
    dry = bursts(2, 32000)
    noise = augment.coloured_noise(dry, torch.tensor([0.0, -6.0]), torch.Generator().manual_seed(0))
    added = augment.add_noise(dry, noise, torch.tensor([10.0, 20.0])) - dry
    ratio_db = 20 * torch.log10(dry.square().mean(1).sqrt() / added.square().mean(1).sqrt())
    assert ratio_db.tolist() == pytest.approx([10.0, 20.0], abs=1e-3)


def test_nobody_is_in_the_crowd_behind_himself() -> None:
    for rows in (2, 3, 7):
        dry = torch.zeros(rows, 2000)
        dry[0] = bursts(1, 2000)[0]
        crowd = augment.babble(dry)
        assert not crowd[0].any()
        assert crowd[1].any()


def test_the_band_is_gone_above_its_edge() -> None:
    dry = torch.randn(1, 32000, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(augment.band_limit(dry, torch.tensor([3400.0])))[0].abs().square()
    hz = torch.fft.rfftfreq(32000, 1 / 16000)
    assert spectrum[hz > 4500].mean() < 1e-4 * spectrum[(hz > 800) & (hz < 2800)].mean()
    assert spectrum[hz < 100].mean() < 1e-2 * spectrum[(hz > 800) & (hz < 2800)].mean()


def test_a_wrong_shape_is_told() -> None:
    with pytest.raises(InputError, match="batch"):
        run(AugmentConfig(), torch.zeros(100))


def test_negatives_are_sound_without_phonemes_the_same_by_seed() -> None:
    kinds = set()
    for seed in range(24):
        one, again = (draw_negative(seed, "test", 0.8) for _ in range(2))
        kinds.add(one.voice)
        assert np.array_equal(one.samples, again.samples)
        assert len(one.samples) == 12800
        assert np.isfinite(one.samples).all()
        assert np.abs(one.samples).max() <= 0.9 + 1e-6
        assert (one.phonemes, one.split, one.source) == ((), "test", "negative")
    assert len(kinds) >= 5
