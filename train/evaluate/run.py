"""The evaluation: films the subjects, scores the films, keeps what people should see. Called by the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from flashtalk.pipeline.conditioning import to_frames, to_pixels
from train.evaluate import pictures, sheets
from train.evaluate.film import Film, Speaker, Watcher, draw, generate, watch
from train.evaluate.scores import (
    FPS,
    REACH,
    Numbers,
    Truth,
    envelope_scores,
    levels_of,
    lip_summary,
    look_scores,
    means,
    quiet_scores,
    speech_scores,
)
from train.evaluate.sounds import HUMAN, Sounds
from train.evaluate.subjects import MOOD, Subject, make_subject
from train.judge.network import Judge
from train.plots import line_plot
from train.synthetic.motion import perform
from train.synthetic.phonemes import Utterance
from train.synthetic.pose import mouth_opening
from train.synthetic.render import Renderer

QUIET_SUBJECTS = 4
SHEET_SUBJECTS = 4


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """How much is filmed. `split` is that of characters; the sounds given come from their own unseen voices."""

    characters: int = 8
    seconds: float = 20.0
    split: str = "test"
    seed: int = 0

    @property
    def frames(self) -> int:
        """Of every speech film."""
        return round(self.seconds * FPS)


@dataclass
class Results:
    """What an evaluation found, and what it made for people to look at."""

    cases: list[Numbers] = field(default_factory=list)
    pairs: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    codec: list[Numbers] = field(default_factory=list)
    sheets: dict[str, Image.Image] = field(default_factory=dict)
    plots: dict[str, str] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[Numbers]:
        """The films of these kinds."""
        return [case for case in self.cases if case["kind"] in kinds]

    def summary(self) -> Numbers:
        """One number a measure: means over films; silences of all kinds together, and by kind."""
        spoken = self.of("speech")
        quiet = {
            f"{case_kind}_{name}": value
            for case_kind in sorted({case["kind"] for case in self.cases} - {"speech", HUMAN})
            for name, value in means(self.of(case_kind)).items()
            if name in ("mean_opening", "opening_95", "shut_share")
        }
        human = {f"human_{name}": value for name, value in means(self.of(HUMAN)).items()}
        return {**means(spoken), **lip_summary(spoken, self.pairs), **quiet, **human, **means(self.codec)}

    def save(self, folder: Path) -> None:
        """Sheets and plots as files."""
        for name, page in self.sheets.items():
            page.save(folder / f"{name}.png")
        for name, text in self.plots.items():
            (folder / f"{name}.svg").write_text(text, encoding="utf-8")


@dataclass
class Evaluation:
    """One checkpoint under test. Films are made one after the other; only measures and some frames are kept."""

    speaker: Speaker
    judge: Judge
    renderer: Renderer
    sounds: Sounds
    plan: RunPlan
    tell: Callable[[Numbers], None]
    results: Results = field(default_factory=Results)
    _pages: list[Image.Image] = field(default_factory=list)
    _strips: list[Image.Image] = field(default_factory=list)

    def run(self) -> Results:
        """Film everything. Raises InputError if there is no speech."""
        for index in range(self.plan.characters):
            subject = self.subject(index)
            truth = self._speech(subject, self.sounds.words(index, self.plan.seconds), index)
            self._human(subject, truth, self.sounds.human(index, self.plan.seconds))
            if index < QUIET_SUBJECTS:
                self._quiet(subject, truth, index)
        self.results.sheets |= {"visemes": sheets.stacked(self._pages), "strips": sheets.stacked(self._strips)}
        self.results.plots |= dict(self._lag_plot())
        return self.results

    def subject(self, index: int) -> Subject:
        """The character of this number."""
        return make_subject(index, self.plan.seed, self.plan.split, self.renderer, self.judge, self._size_px)

    def truth(self, subject: Subject, utterance: Utterance, frame_count: int) -> tuple[torch.Tensor, Truth]:
        """Poses and drawing of a subject that says this."""
        poses_FP = perform(utterance, frame_count, subject.seed, mood=MOOD).poses_FP
        frames = draw(self.renderer, subject.character, poses_FP, self._size_px)
        film, opening = watch(self.judge, frames), mouth_opening(poses_FP).numpy()
        return poses_FP, Truth(opening, film, levels_of(opening, film), pictures.still_pixels(frames))

    @property
    def _size_px(self) -> tuple[int, int]:
        return self.speaker.stream.height, self.speaker.stream.width

    @property
    def _new_frames(self) -> int:
        return self.speaker.stream.chunk_frames - self.speaker.stream.motion_frames

    def _film(self, subject: Subject, utterance: Utterance, truth: Truth) -> Film:
        watcher = Watcher(self.judge, truth.still_HW)
        return generate(self.speaker, subject.portrait_HWC, subject.prompt, utterance.samples, watcher)

    def _add(self, kind: str, subject: Subject, utterance: Utterance, film: Film, scores: Numbers) -> None:
        case = {"kind": kind, "subject": subject.name, "voice": utterance.voice, "language": utterance.language}
        case |= {**look_scores(subject, self.judge, film, self._new_frames), **scores}
        self.results.cases.append(case)
        self.tell(case)

    def _speech(self, subject: Subject, utterance: Utterance, index: int) -> Truth:
        poses_FP, truth = self.truth(subject, utterance, self.plan.frames)
        film = self._film(subject, utterance, truth)
        self._add("speech", subject, utterance, film, speech_scores(film, truth, utterance, self._new_frames))
        self.results.pairs.append((film.track.judged("mouth_opening"), truth.opening_F))
        self.results.codec.append(self._codec_scores(truth.film.frames_FHWC))
        if index < SHEET_SUBJECTS:
            self._look(subject, poses_FP, truth, film)
        return truth

    def _look(self, subject: Subject, poses_FP: torch.Tensor, truth: Truth, film: Film) -> None:
        drawn, shown = truth.film.frames_FHWC, film.frames_FHWC
        start = min(2 * FPS, max(0, len(shown) - 32))
        self._pages.append(sheets.compared(drawn, shown, sheets.viseme_moments(poses_FP), subject.name))
        self._strips.append(sheets.compared(drawn, shown, sheets.strip_moments(start), subject.name))
        read, drawn_read = (one.track.judged("mouth_opening") for one in (film, truth.film))
        curves = {"drawn": truth.opening_F, "drawn, judged": drawn_read, "generated, judged": read}
        series = {label: timed(curve_F[: 10 * FPS], 1 / FPS) for label, curve_F in curves.items()}
        name = f"mouth-{subject.name.replace(' ', '-')}"
        self.results.plots[name] = line_plot(series, f"Mouth opening, {subject.name}", "seconds", "opening")

    def _human(self, subject: Subject, truth: Truth, utterance: Utterance | None) -> None:
        if utterance is None:
            return
        if not utterance.phonemes:
            film = self._film(subject, utterance, truth)
            self._add(HUMAN, subject, utterance, film, envelope_scores(film, utterance))
            return
        _, own = self.truth(subject, utterance, self.plan.frames)
        film = self._film(subject, utterance, own)
        scores = speech_scores(film, own, utterance, self._new_frames)
        fit = lip_summary([scores], [(film.track.judged("mouth_opening"), own.opening_F)])
        self._add(HUMAN, subject, utterance, film, {**scores, **fit})

    def _quiet(self, subject: Subject, truth: Truth, index: int) -> None:
        for kind, utterance in self.sounds.quiet(index):
            film = self._film(subject, utterance, truth)
            self._add(kind, subject, utterance, film, quiet_scores(film, truth.levels))

    @torch.inference_mode()
    def _codec_scores(self, frames_FHWC: np.ndarray) -> Numbers:
        """What encoding and decoding alone does to a chunk of the drawing."""
        codec, networks = self.speaker.networks.codec, self.speaker.networks
        chunk = frames_FHWC[: self.speaker.stream.chunk_frames]
        chunk = chunk[: 1 + (len(chunk) - 1) // codec.temporal_stride * codec.temporal_stride]
        again = to_frames(codec.decode(codec.encode(to_pixels(chunk, networks.device)))[0]).cpu().numpy()
        return {"codec_psnr": pictures.psnr(again, chunk), "codec_ssim": pictures.ssim(again, chunk)}

    def _lag_plot(self) -> Iterator[tuple[str, str]]:
        lags, spoken = range(-REACH, REACH + 1), self.results.of("speech")
        series = {case["subject"]: list(zip(lags, case["lag_curve"], strict=True)) for case in spoken}
        yield "lags", line_plot(series, "Mouth against truth", "lag in frames (positive: late)", "correlation")


def timed(curve_K: np.ndarray, step_s: float) -> list[tuple[float, float]]:
    """(second, value) of a curve, for a plot."""
    return [(k * step_s, float(value)) for k, value in enumerate(curve_K)]
