"""Rooms, noises, microphones and codings for waveforms in batches, on any device. Called by train/sound.py.

Nothing here moves sound in time: rooms keep the direct sound at time 0, filters have zero phase.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flashtalk.errors import InputError
from train.synthetic.phonemes import SAMPLE_RATE

_QUIET_RMS = 3e-3
"""Rows quieter than this get noise as if they were this loud, so that silence meets noise too."""

Range = tuple[float, float]


@dataclass(frozen=True)
class AugmentConfig:
    """Shares of rows that each effect meets, and the range it draws from. clean_share rows keep all but loudness."""

    clean_share: float = 0.15
    room_share: float = 0.5
    room_rt60_s: Range = (0.1, 0.8)
    room_wet_db: Range = (-22.0, -4.0)
    """Energy of the reverberation against the direct sound."""
    equaliser_share: float = 0.6
    equaliser_db: Range = (-8.0, 8.0)
    noise_share: float = 0.7
    noise_snr_db: Range = (3.0, 35.0)
    noise_slope_db: Range = (-9.0, 1.0)
    """Per octave: 0 white, -3 pink, -6 brown."""
    babble_share: float = 0.25
    babble_snr_db: Range = (6.0, 25.0)
    band_share: float = 0.2
    band_high_hz: Range = (3200.0, 7600.0)
    coding_share: float = 0.2
    coding_bits: Range = (6.0, 12.0)
    clip_share: float = 0.1
    clip_level: Range = (0.3, 0.95)
    """Of the row's peak."""
    peak: Range = (0.05, 0.95)
    """Peak of every row in the end; silent rows stay as they are."""


class Augment:
    """`augment(samples_BS, generator)` gives float32 [B, S] in [-1, 1] on the same device.

    The generator (on that device) is all it draws from: the same one gives the same sound. InputError `samples_shape`.
    """

    def __init__(self, config: AugmentConfig | None = None) -> None:
        self.config = config or AugmentConfig()

    def __call__(self, samples_BS: Tensor, generator: torch.Generator) -> Tensor:
        """See the class."""
        if samples_BS.ndim != 2:
            raise InputError(f"samples of shape {tuple(samples_BS.shape)}; give [batch, samples]", code="samples_shape")
        config, dry = self.config, samples_BS.float()
        draw = _Draw(len(dry), dry.device, generator)
        wet = draw.some(
            config.room_share, room(dry, draw(*config.room_rt60_s), draw(*config.room_wet_db), generator), dry
        )
        gains_BK = torch.stack([draw(*config.equaliser_db) for _ in range(_EQUALISER_BANDS)], 1)
        wet = draw.some(config.equaliser_share, equalise(wet, gains_BK), wet)
        noise = coloured_noise(wet, draw(*config.noise_slope_db), generator)
        wet = draw.some(config.noise_share, add_noise(wet, noise, draw(*config.noise_snr_db)), wet)
        wet = draw.some(config.babble_share, add_noise(wet, babble(dry), draw(*config.babble_snr_db)), wet)
        wet = draw.some(config.band_share, band_limit(wet, draw(*config.band_high_hz)), wet)
        wet = draw.some(config.clip_share, clip(wet, draw(*config.clip_level)), wet)
        wet = draw.some(config.coding_share, mu_law(wet, draw(*config.coding_bits)), wet)
        wet = draw.some(config.clean_share, dry, wet)
        return loudness(wet, draw(*config.peak))


class _Draw:
    """Draws one number a row."""

    def __init__(self, rows: int, device: torch.device, generator: torch.Generator) -> None:
        self._rows, self._device, self._generator = rows, device, generator

    def __call__(self, low: float, high: float) -> Tensor:
        unit_B = torch.rand(self._rows, device=self._device, generator=self._generator)
        return low + (high - low) * unit_B

    def some(self, share: float, changed_BS: Tensor, kept_BS: Tensor) -> Tensor:
        """A share of rows from `changed`, the rest from `kept`."""
        return torch.where((self(0.0, 1.0) < share)[:, None], changed_BS, kept_BS)


def room(samples_BS: Tensor, rt60_s_B: Tensor, wet_db_B: Tensor, generator: torch.Generator) -> Tensor:
    """Reverberation: noise that falls by 60 dB in `rt60_s`, from 2 ms after the direct sound, which stays at time 0."""
    length = min(SAMPLE_RATE, samples_BS.shape[1])
    time_S = torch.arange(length, device=samples_BS.device) / SAMPLE_RATE
    noise_BS = torch.randn(len(samples_BS), length, device=samples_BS.device, generator=generator)
    tail_BS = noise_BS * torch.exp(-math.log(1000.0) * time_S / rt60_s_B[:, None]) * (time_S > 0.002)
    energy_B1 = tail_BS.square().sum(1, keepdim=True).clamp_min(1e-12).sqrt()
    tail_BS = tail_BS / energy_B1 * 10 ** (wet_db_B[:, None] / 20)
    size = _fast_size(samples_BS.shape[1] + length)
    wet = torch.fft.irfft(torch.fft.rfft(samples_BS, size) * torch.fft.rfft(tail_BS, size), size)
    return samples_BS + wet[:, : samples_BS.shape[1]]


_EQUALISER_BANDS = 6


def equalise(samples_BS: Tensor, gains_db_BK: Tensor) -> Tensor:
    """Zero-phase filter whose gain goes smoothly through K gains, evenly spaced in log frequency from 60 to 8000 Hz."""
    octaves_S = torch.log2(_frequencies(samples_BS).clamp_min(60.0) / 60.0) / math.log2(8000 / 60)
    place_S = octaves_S.clamp(0, 1) * (gains_db_BK.shape[1] - 1)
    below_S = place_S.long().clamp_max(gains_db_BK.shape[1] - 2)
    part_S = place_S - below_S
    gain_BS = gains_db_BK[:, below_S] * (1 - part_S) + gains_db_BK[:, below_S + 1] * part_S
    return _filtered(samples_BS, 10 ** (gain_BS / 20))


def band_limit(samples_BS: Tensor, high_hz_B: Tensor) -> Tensor:
    """Zero-phase low pass at `high_hz` with the high pass of telephones at 300 Hz when it is under 4000 Hz."""
    hz_S = _frequencies(samples_BS)
    low_pass = torch.sigmoid((high_hz_B[:, None] - hz_S) / 80)
    high_pass = torch.sigmoid((hz_S - 300) / 30)
    return _filtered(samples_BS, torch.where(high_hz_B[:, None] < 4000, low_pass * high_pass, low_pass))


def coloured_noise(like_BS: Tensor, slope_db_B: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of the same shape; its power changes by `slope_db` an octave."""
    white = torch.randn(like_BS.shape, device=like_BS.device, generator=generator)
    octaves_S = torch.log2(_frequencies(white).clamp_min(30.0) / 1000)
    return _filtered(white, 10 ** (slope_db_B[:, None] * octaves_S / 20))


def babble(samples_BS: Tensor) -> Tensor:
    """Other rows of the batch, reversed in time and on top of each other: a crowd that nobody's lips belong to."""
    shifts = range(1, max(1, min(4, len(samples_BS) - 1)) + 1)
    rows = [samples_BS.roll(shift, 0).flip(1).roll(1117 * shift, 1) for shift in shifts]
    return torch.stack(rows).sum(0)


def add_noise(samples_BS: Tensor, noise_BS: Tensor, snr_db_B: Tensor) -> Tensor:
    """Add noise at a signal-to-noise ratio; silent rows count as faint ones."""
    level_B1 = _rms(samples_BS).clamp_min(_QUIET_RMS) / 10 ** (snr_db_B[:, None] / 20)
    return samples_BS + noise_BS * level_B1 / _rms(noise_BS).clamp_min(1e-6)


def clip(samples_BS: Tensor, level_B: Tensor) -> Tensor:
    """Hard limit at `level` of each row's peak."""
    limit_B1 = samples_BS.abs().amax(1, keepdim=True) * level_B[:, None]
    return samples_BS.clamp(-limit_B1, limit_B1)


def mu_law(samples_BS: Tensor, bits_B: Tensor) -> Tensor:
    """Quantise to `bits` (rounded) on the mu-law curve (G.711's, mu 255), full scale at each row's peak."""
    peak_B1 = samples_BS.abs().amax(1, keepdim=True).clamp_min(1e-9)
    steps_B1 = 2.0 ** (bits_B.round()[:, None] - 1)
    unit = samples_BS / peak_B1
    curve = (torch.log1p(255 * unit.abs()) / math.log(256) * steps_B1).round() / steps_B1
    return unit.sign() * torch.expm1(curve * math.log(256)) / 255 * peak_B1


def loudness(samples_BS: Tensor, peak_B: Tensor) -> Tensor:
    """Scale each row to a peak; what is silent stays silent."""
    found_B1 = samples_BS.abs().amax(1, keepdim=True)
    return torch.where(found_B1 > 1e-5, samples_BS / found_B1.clamp_min(1e-5) * peak_B[:, None], samples_BS)


def _rms(samples_BS: Tensor) -> Tensor:
    return samples_BS.square().mean(1, keepdim=True).sqrt()


def _fast_size(length: int) -> int:
    """Next power of two: no sound wraps around and FFTs are quick."""
    return 1 << (length - 1).bit_length()


def _frequencies(samples_BS: Tensor) -> Tensor:
    """Of the FFT that `_filtered` takes, in Hz."""
    return torch.fft.rfftfreq(_fast_size(samples_BS.shape[1] + 4096), 1 / SAMPLE_RATE, device=samples_BS.device)


def _filtered(samples_BS: Tensor, gains_BS: Tensor) -> Tensor:
    size = _fast_size(samples_BS.shape[1] + 4096)
    return torch.fft.irfft(torch.fft.rfft(samples_BS, size) * gains_BS, size)[:, : samples_BS.shape[1]]
