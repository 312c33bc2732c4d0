"""The kinds of films and what is kept of each: numbers, curves, rows of pictures. Called by evaluate/jobs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from train.evaluate import sheets
from train.evaluate.film import Track, Watcher
from train.evaluate.floor import picture_scores, through_codec
from train.evaluate.parts import Job, Part
from train.evaluate.scores import FPS, Numbers, envelope_scores, lip_summary, look_scores, quiet_scores, speech_scores
from train.evaluate.sounds import HUMAN
from train.evaluate.studio import SPEECH, Studio
from train.evaluate.truth import Truth
from train.synthetic.phonemes import Utterance

CODEC, SPEED = "codec", "speed"
SHEET_SUBJECTS = 4
VISEMES, STRIP = "visemes", "strip"
DRAWN = "drawn "
"""Before the name of a row that shows the drawing."""
MOUTH = "mouth_opening"


def film_scene(studio: Studio, job: Job) -> Part:
    """One film of one kind."""
    if job.kind == SPEED:
        return _speed(studio, job)
    if job.kind == CODEC:
        return _codec(studio, job)
    if job.kind in (SPEECH, HUMAN):
        return _talk(studio, job)
    return _quiet(studio, job)


def _talk(studio: Studio, job: Job) -> Part:
    subject, utterance = studio.subject(job.subject), studio.utterance(job.kind, job.subject)
    assert utterance is not None, "a film was asked for that has no sound"
    truth = studio.truth(job.subject, job.kind if utterance.phonemes else SPEECH)
    moments = _moments(job, truth)
    wanted = {frame for times in moments.values() for frame in times.values()}
    film = studio.film(job.variant, subject, utterance, Watcher(studio.judge, truth.drawn.still_HW, keep=wanted))
    row, curves = _spoken(studio, job, film.track, truth, utterance)
    strips, drawn = {}, truth.pictures(wanted)
    for what, times in moments.items():
        strips[what] = sheets.strip(f"{subject.name}: {job.variant}", times, film.pictures)
        strips[DRAWN + what] = sheets.strip(f"{subject.name}: drawn", times, drawn)
    return Part(job=job, row=row, curves=curves, strips=strips)


def _spoken(
    studio: Studio, job: Job, track: Track, truth: Truth, utterance: Utterance
) -> tuple[Numbers, dict[str, np.ndarray]]:
    """Numbers and curves of a film with speech in it, measured or drawn."""
    row = _looks(studio, job, track, utterance)
    if not utterance.phonemes:
        return {**row, **envelope_scores(track, utterance)}, {}
    read, opening = track.judged(MOUTH), truth.drawn.opening_F
    scores = speech_scores(track, truth.drawn, utterance, studio.new_frames)
    drawing = look_scores(studio.subject(job.subject), studio.judge, truth.drawn.track, studio.new_frames)
    scores["drawing_identity_similarity"] = drawing["identity_similarity"]
    fit = lip_summary([scores], [(read, opening)])
    curves = {"read": read, "opening": opening, "drawn": truth.drawn.track.judged(MOUTH)}
    return {**row, **scores, **fit}, curves


def _quiet(studio: Studio, job: Job) -> Part:
    subject, truth = studio.subject(job.subject), studio.truth(job.subject)
    utterance = studio.sounds.quiet(job.subject, job.kind, studio.config.films.quiet_seconds)
    film = studio.film(job.variant, subject, utterance, Watcher(studio.judge, truth.drawn.still_HW, keep=()))
    row = _looks(studio, job, film.track, utterance)
    if job.kind.startswith("noise"):
        row["kind"] = "music" if "music" in utterance.voice else "noise"
    return Part(job=job, row={**row, **quiet_scores(film.track, truth.drawn.levels)})


def _codec(studio: Studio, job: Job) -> Part:
    """The drawing as the codec alone would show it: with the same measures the floor of what a model can reach."""
    subject, truth, speaker = studio.subject(job.subject), studio.truth(job.subject), studio.speaker(job.variant)
    utterance = studio.utterance(SPEECH, job.subject)
    assert utterance is not None
    watcher, drawn = Watcher(studio.judge, truth.drawn.still_HW), truth.frames()
    for part in through_codec(speaker.networks, speaker.stream, subject.portrait_HWC, drawn):
        watcher.add(part)
    film = watcher.film()
    row, _ = _spoken(studio, job, film.track, truth, utterance)
    row |= picture_scores(film.frames_FHWC, drawn.numpy())
    return Part(job=job, row=row, strips=_codec_strips(job, truth, film.pictures, subject.name))


def _codec_strips(job: Job, truth: Truth, shown: Mapping[int, np.ndarray], name: str) -> dict[str, sheets.Strip]:
    label = f"{name}: drawn, through the codec of {job.variant}"
    return {what: sheets.strip(label, times, shown) for what, times in _moments(job, truth).items()}


def _speed(studio: Studio, job: Job) -> Part:
    """Nothing is measured of this film but its time."""
    subject = studio.subject(job.subject)
    utterance = studio.sounds.words(job.subject, studio.config.films.speed_seconds)
    film = studio.film(job.variant, subject, utterance, Watcher(studio.judge, keep=()))
    return Part(job=job, row={"kind": job.kind, "variant": job.variant, "subject": subject.name, "fps": film.fps})


def _looks(studio: Studio, job: Job, track: Track, utterance: Utterance) -> Numbers:
    subject = studio.subject(job.subject)
    told = {"kind": job.kind, "variant": job.variant, "subject": subject.name}
    told |= {"voice": utterance.voice, "language": utterance.language}
    return {**told, **look_scores(subject, studio.judge, track, studio.new_frames)}


def _moments(job: Job, truth: Truth) -> dict[str, dict[str, int]]:
    """Sheet -> caption -> frame, of films that are shown."""
    if job.subject >= SHEET_SUBJECTS or job.kind == HUMAN:
        return {}
    last = len(truth.poses_FP) - 1
    strip = sheets.strip_moments(min(2 * FPS, max(0, last - 31)))
    strip = {words: frame for words, frame in strip.items() if frame <= last}
    return {VISEMES: sheets.viseme_moments(truth.poses_FP), STRIP: strip}
