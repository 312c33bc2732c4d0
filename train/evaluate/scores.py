"""From films to numbers: one dictionary a film, and the summary of a run. Called by evaluate/scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from train.evaluate import measures, pictures
from train.evaluate.film import Track
from train.evaluate.subjects import IDENTITY, Subject
from train.judge.network import OUTPUTS, Judge
from train.synthetic.phonemes import SAMPLE_RATE, Utterance

FPS = 25
REACH, WARP = 5, 3
"""Frames by which curves are moved whole, and frame by frame."""
WINDOW_S = 10
SHUT_OPENING = 0.02
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Levels:
    """The judge's reading of one drawn mouth at rest and wide open (95th percentile of its speech)."""

    shut: float
    wide: float


@dataclass(frozen=True)
class Drawn:
    """The measures of a drawing that a film is compared with, and its mouth as it was posed."""

    opening_F: np.ndarray
    track: Track
    levels: Levels
    still_HW: np.ndarray


def levels_of(opening_F: np.ndarray, track: Track) -> Levels:
    """How the judge reads this character's mouth; the truth says when it is shut."""
    read = track.judged("mouth_opening")
    shut = read[opening_F < SHUT_OPENING]
    return Levels(float(np.median(shut)) if len(shut) else float(read.min()), float(np.percentile(read, 95)))


def look_scores(subject: Subject, judge: Judge, track: Track, new_frames: int) -> Numbers:
    """What any film says without a truth: blinks, identity, sharpness, colours, seams at every `new_frames`."""
    reference = subject.portrait_film.track
    away = identity_distance(judge, track, reference)
    colours = np.linalg.norm(track.lab_FC - reference.lab_FC[0], axis=-1)
    return {
        "blinks_per_minute": measures.blinks_per_minute(track.judged("blink"), FPS),
        "identity_similarity": float(measures.similarity(away).mean()),
        "palette_distance": float(pictures.palette_distance(track.palette_FB, reference.palette_FB[0]).mean()),
        "colour_drift_lab": float(colours.mean()),
        "sharpness": float(track.sharpness_F.mean()),
        "sharpness_of_portrait": float(reference.sharpness_F[0]),
        "seam_ratio": pictures.seam_ratio(track.change_F, new_frames),
        "flicker": _mean(track.flicker_F),
        "head_movement": float(np.mean(track.judged("yaw", "pitch", "roll").std(axis=0))),
    }


def speech_scores(track: Track, truth: Drawn, utterance: Utterance, new_frames: int) -> Numbers:
    """Mouth against truth. `drawing_*`: the same measure of the drawn film, which the judge cannot beat."""
    read, drawn = track.judged("mouth_opening"), truth.track.judged("mouth_opening")
    opening = truth.opening_F[: len(read)]
    loudness = measures.frame_loudness(utterance.samples, SAMPLE_RATE // FPS, len(read))
    quiet = measures.quiet_frames(loudness)
    share = measures.opening_share(read, truth.levels.shut, truth.levels.wide)
    return {
        "lag_curve": measures.lag_curve(read, opening, REACH).tolist(),
        "lip_correlation_warped": measures.warped_correlation(read, opening, WARP),
        "chance_correlation_warped": measures.warped_correlation(read, opening[::-1].copy(), WARP),
        "drawing_correlation": measures.correlation(drawn, truth.opening_F),
        "shut_in_pauses": measures.shut_share(share[quiet]),
        "pause_share": float(quiet.mean()),
        "opening_spread": float(read.std() / max(float(drawn.std()), measures.FLAT)),
        "sharpness_ratio": float(track.sharpness_F.mean() / truth.track.sharpness_F.mean()),
        "drawing_blinks_per_minute": measures.blinks_per_minute(truth.track.judged("blink"), FPS),
        "drawing_seam_ratio": pictures.seam_ratio(truth.track.change_F, new_frames),
        "drawing_head_movement": float(np.mean(truth.track.judged("yaw", "pitch", "roll").std(axis=0))),
        **envelope_scores(track, utterance),
        "drawing_envelope_correlation": envelope_scores(truth.track, utterance)["envelope_correlation"],
    }


def envelope_scores(track: Track, utterance: Utterance) -> Numbers:
    """Mouth against the loudness of the speech band: all that can be said without phonemes."""
    read = track.judged("mouth_opening")
    envelope = measures.speech_envelope(utterance.samples, SAMPLE_RATE, FPS, len(read))
    fit = measures.best_lag([measures.lag_curve(read, envelope, REACH)])
    return {"envelope_correlation": fit.correlation, "envelope_lag_frames": fit.lag_frames}


def quiet_scores(track: Track, levels: Levels) -> Numbers:
    """A mouth that should stay shut: mean and 95th percentile of its opening as part of its range in speech."""
    settled = track.judged("mouth_opening")[FPS // 2 :]
    share = measures.opening_share(settled, levels.shut, levels.wide)
    return {
        "mean_opening": float(np.maximum(share, 0).mean()),
        "opening_95": float(np.percentile(share, 95)),
        "shut_share": measures.shut_share(share),
    }


def identity_distance(judge: Judge, track: Track, reference: Track) -> np.ndarray:
    """K: one distance for every 10 s (or for all of a shorter film), so that a nod is no other person."""
    scale = judge.std.cpu().numpy()[[OUTPUTS.index(name) for name in IDENTITY]]
    features = measures.windows(track.judged(*IDENTITY), min(len(track), WINDOW_S * FPS))
    return measures.distances(features, reference.judged(*IDENTITY)[0], scale)


def drift_curves(judge: Judge, track: Track, reference: Track) -> dict[str, np.ndarray]:
    """Name -> one number for every 10 s of a long film."""
    length = min(len(track), WINDOW_S * FPS)
    away = identity_distance(judge, track, reference)
    lab = measures.windows(track.lab_FC, length)
    blinks_KF = track.judged("blink")[: len(away) * length].reshape(len(away), length)
    palettes = measures.windows(track.palette_FB, length)
    return {
        "identity_distance": away,
        "identity_similarity": measures.similarity(away),
        "palette_distance": pictures.palette_distance(palettes, reference.palette_FB[0]),
        "sharpness": measures.windows(track.sharpness_F, length),
        "colour_drift_lab": np.linalg.norm(lab - reference.lab_FC[0], axis=-1),
        "change": measures.windows(np.nan_to_num(track.change_F), length),
        "blinks_per_minute": np.array([measures.blinks_per_minute(part_F, FPS) for part_F in blinks_KF]),
        "opening": measures.windows(track.judged("mouth_opening"), length),
    }


def lip_summary(rows: Sequence[Numbers], pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Numbers:
    """All characters together: mean correlation at the common best lag, and the pooled one after affine fits."""
    if not rows:
        return {}
    fit = measures.best_lag([np.array(row["lag_curve"]) for row in rows])
    return {
        "lip_correlation": fit.correlation,
        "lip_lag_frames": fit.lag_frames,
        "lip_correlation_pooled": measures.pooled_correlation(pairs, fit.lag_frames),
        "lip_correlation_no_lag": float(np.mean([row["lag_curve"][REACH] for row in rows])),
    }


def means(rows: Sequence[Numbers]) -> Numbers:
    """Mean of every plain number over films; those that are NaN everywhere stay so."""
    names = {name: None for row in rows for name, value in row.items() if isinstance(value, float | int)}
    return {name: _mean(np.array([row[name] for row in rows if name in row], float)) for name in names}


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
