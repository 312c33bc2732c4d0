"""Films of many minutes: does a character stay itself? Drift over time, strips of frames. Called by evaluate/jobs."""

from __future__ import annotations

import numpy as np

from train.evaluate import measures, pictures, sheets
from train.evaluate.film import Film, Watcher
from train.evaluate.parts import Job, Part
from train.evaluate.scores import FPS, REACH, WINDOW_S, Numbers, drift_curves
from train.evaluate.studio import Studio
from train.evaluate.subjects import MOOD
from train.synthetic.motion import perform
from train.synthetic.pose import mouth_opening

LONG = "long"
STRIP_S = 100
STRIP_FRAMES, STRIP_STEP = 12, 4
SECOND_TEN = 1
"""Drift is told against the window that begins at second 10."""
MINUTE = 6
"""In windows. What is said and how a head is held change one window's sharpness by more than drift does."""
CHANGES = ("identity_similarity", "identity_distance", "sharpness")
OVER_TIME = "over time"
"""The strip with one picture for every 100 s."""


def film_long(studio: Studio, job: Job) -> Part:
    """Numbers at second 10 and at the end, a curve a measure (one value for 10 s), strips of frames."""
    subject, seconds = studio.subject(job.subject), studio.config.long.seconds
    words = studio.sounds.words(job.subject, seconds)
    starts = range(0, int(seconds), STRIP_S)
    wanted = {start * FPS + STRIP_STEP * i for start in starts for i in range(STRIP_FRAMES)}
    last = round(seconds * FPS) - 1
    film = studio.film(job.variant, subject, words, Watcher(studio.judge, keep=wanted | {last}))
    poses_FP = perform(words, len(film.track), subject.seed, mood=MOOD).poses_FP
    drift = drift_curves(studio.judge, film.track, subject.portrait_film.track)
    drift["lip_correlation"] = _per_window(film.track.judged("mouth_opening"), mouth_opening(poses_FP).numpy())
    row: Numbers = {"kind": LONG, "variant": job.variant, "subject": subject.name, "voice": words.voice}
    row |= {"seconds": seconds, "seam_ratio": pictures.seam_ratio(film.track.change_F, studio.new_frames)}
    for name, curve_K in drift.items():
        row |= {f"{name}_at_10": float(curve_K[SECOND_TEN]), f"{name}_at_end": float(curve_K[-1])}
    row |= {f"{name}_change": measures.relative_change(drift[name], SECOND_TEN, MINUTE) for name in CHANGES}
    row |= {f"{name}_change_of_windows": measures.relative_change(drift[name], SECOND_TEN) for name in CHANGES}
    row |= {f"{name}_change_of_trend": measures.trend(drift[name], SECOND_TEN) for name in CHANGES}
    strips = _strips(f"{subject.name}: {job.variant}", film, starts, last)
    return Part(job=job, row=row, curves=drift, strips=strips)


def _per_window(read_F: np.ndarray, opening_F: np.ndarray) -> np.ndarray:
    """Correlation in each window at its best lag."""
    length = WINDOW_S * FPS
    parts = [slice(p, p + length) for p in range(0, len(read_F) - length + 1, length)]
    fits = [measures.best_lag([measures.lag_curve(read_F[part], opening_F[part], REACH)]) for part in parts]
    return np.array([fit.correlation for fit in fits])


def _strips(label: str, film: Film, starts: range, last: int) -> dict[str, sheets.Strip]:
    """A row for every 100 s, and one through all of the time."""
    times = {f"{start} s": start * FPS + STRIP_STEP for start in starts} | {f"{(last + 1) / FPS:g} s": last}
    strips = {OVER_TIME: sheets.strip(label, times, film.pictures)}
    for start in starts:
        moments = {f"+{STRIP_STEP * i / FPS:.2f} s": start * FPS + STRIP_STEP * i for i in range(STRIP_FRAMES)}
        strips[f"from {start} s"] = sheets.strip(f"{label}, {start} s", moments, film.pictures)
    return strips
