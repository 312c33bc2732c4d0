"""Films of many minutes: does a character stay itself? Drift over time, strips of frames. Called by the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from flashtalk.errors import InputError
from train.evaluate import measures, pictures, sheets
from train.evaluate.film import Film, Watcher, generate
from train.evaluate.run import Evaluation, timed
from train.evaluate.scores import FPS, REACH, WINDOW_S, Numbers, drift_curves
from train.evaluate.subjects import MOOD, Subject
from train.plots import line_plot
from train.synthetic.motion import perform
from train.synthetic.phonemes import Utterance
from train.synthetic.pose import mouth_opening

STRIP_S = 100.0
STRIP_FRAMES, STRIP_STEP = 12, 4
SECOND_TEN = 1
"""Drift is told against the window that begins at second 10."""
LEAST_WINDOWS = 3
CHANGES = ("identity_similarity", "identity_distance", "sharpness")


@dataclass(frozen=True, kw_only=True)
class LongPlan:
    """How long, and how many characters. Their films have the numbers after those of the short ones."""

    seconds: float = 1000.0
    characters: int = 2

    def check(self) -> None:
        """Raises InputError for too little time to tell a drift."""
        least = LEAST_WINDOWS * WINDOW_S
        if self.seconds < least or self.characters < 1:
            raise InputError(
                f"a long run of {self.seconds:g} s with {self.characters} characters; give {least} s or more and at "
                "least one character, or 0 s to leave it out",
                code="long_run",
            )


@dataclass(frozen=True)
class LongFilm:
    """One of them: numbers at second 10 and at the end, a curve a measure (one value for 10 s), strips of frames."""

    subject: Subject
    row: Numbers
    drift: Mapping[str, np.ndarray]
    page: Image.Image


def film_long(evaluation: Evaluation, plan: LongPlan) -> list[Numbers]:
    """One row a character. Strips and plots go into the evaluation's results.

    Raises InputError if there is no speech, or too little time for three windows.
    """
    plan.check()
    films = []
    for index in range(plan.characters):
        films.append(_film(evaluation, index, evaluation.sounds.words(index, plan.seconds)))
        evaluation.tell({"kind": "long", **films[-1].row})
    results = evaluation.results
    results.sheets["long-run"] = sheets.stacked([film.page for film in films])
    for measure in films[0].drift:
        lines = {film.subject.name: timed(film.drift[measure], WINDOW_S) for film in films}
        label = measure.replace("_", " ")
        results.plots[f"long-{measure.replace('_', '-')}"] = line_plot(lines, f"Long run: {label}", "seconds", label)
    return [film.row for film in films]


def _film(evaluation: Evaluation, index: int, words: Utterance) -> LongFilm:
    subject, seconds = evaluation.subject(index), words.duration_s
    starts = np.arange(0, seconds, STRIP_S)
    wanted = {round(start * FPS) + STRIP_STEP * i for start in starts for i in range(STRIP_FRAMES)}
    watcher = Watcher(evaluation.judge, keep=wanted)
    film = generate(evaluation.speaker, subject.portrait_HWC, subject.prompt, words.samples, watcher)
    opening = mouth_opening(perform(words, len(film.track), subject.seed, mood=MOOD).poses_FP).numpy()
    drift = drift_curves(evaluation.judge, film.track, subject.portrait_film.track)
    drift["lip_correlation"] = _per_window(film.track.judged("mouth_opening"), opening)
    stream = evaluation.speaker.stream
    row: Numbers = {"subject": subject.name, "voice": words.voice, "seconds": seconds, "fps": film.fps}
    row["seam_ratio"] = pictures.seam_ratio(film.track.change_F, stream.chunk_frames - stream.motion_frames)
    for name, curve_K in drift.items():
        row |= {f"{name}_at_10": float(curve_K[SECOND_TEN]), f"{name}_at_end": float(curve_K[-1])}
    row |= {f"{name}_change": measures.relative_change(drift[name], SECOND_TEN) for name in CHANGES}
    return LongFilm(subject, row, drift, _strips(subject, film))


def _per_window(read_F: np.ndarray, opening_F: np.ndarray) -> np.ndarray:
    """Correlation in each window at its best lag."""
    length = WINDOW_S * FPS
    parts = [slice(p, p + length) for p in range(0, len(read_F) - length + 1, length)]
    fits = [measures.best_lag([measures.lag_curve(read_F[part], opening_F[part], REACH)]) for part in parts]
    return np.array([fit.correlation for fit in fits])


def _strips(subject: Subject, film: Film) -> Image.Image:
    """One row for every 100 s."""
    rows: dict[int, list[np.ndarray]] = {}
    for frame, picture_HWC in zip(film.kept, film.frames_FHWC, strict=True):
        rows.setdefault(int(frame / FPS // STRIP_S * STRIP_S), []).append(picture_HWC)
    labels = [f"{subject.name}, {start} s" for start in rows]
    captions = [f"+{STRIP_STEP * i / FPS:.2f} s" for i in range(STRIP_FRAMES)]
    return sheets.sheet([np.stack(row) for row in rows.values()], labels, captions)
