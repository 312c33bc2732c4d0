"""All that makes films on one device: judge, renderer, sounds, drawings, networks. One a process; see evaluate/jobs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from flashtalk.checkpoint import sha256
from flashtalk.config import ModelConfig
from flashtalk.config_file import load_model_config
from flashtalk.errors import CheckpointError
from flashtalk.pipeline.networks import Networks
from train.evaluate.config import EvaluationConfig, Variant, check_stream
from train.evaluate.film import Film, Speaker, Watcher, generate
from train.evaluate.guidance import Guidance
from train.evaluate.networks import build_networks, guided_by, open_weights
from train.evaluate.parts import digest
from train.evaluate.sounds import HUMAN, Sounds, open_sounds
from train.evaluate.subjects import Subject, make_subject
from train.evaluate.truth import Truth, draw_truth, load_truth
from train.judge.files import WEIGHTS, load_judge
from train.stages import MODEL_FILE
from train.synthetic.phonemes import Utterance
from train.synthetic.render import Renderer

SPEECH = "speech"
NETWORKS_KEPT, TRUTHS_KEPT = 4, 4


class Studio:
    """See the module's docstring. `config.cache` is a folder. Raises CheckpointError, ConfigError, InputError."""

    def __init__(self, config: EvaluationConfig, device: torch.device) -> None:
        films = config.films
        assert config.cache is not None, "a studio needs a folder for its drawings"
        self.config, self.device, self._cache = config, device, Path(config.cache)
        self.judge = load_judge(config.judge, device)
        self.renderer = Renderer(device, compiled=config.compiled, samples_per_axis=config.samples_per_axis)
        self.sounds: Sounds = open_sounds(config.speech, films.split, films.seed)
        self.size_px = (config.stream.height, config.stream.width)
        self.new_frames = config.stream.chunk_frames - config.stream.motion_frames
        self.variants = {variant.name: variant for variant in config.variants}
        self.subject = lru_cache(TRUTHS_KEPT)(self._subject)
        self._truth = lru_cache(TRUTHS_KEPT)(load_truth)
        self._networks = lru_cache(NETWORKS_KEPT)(self._build)

    def speaker(self, name: str) -> Speaker:
        """What sessions of a variant need; a teacher's is for one session alone."""
        variant = self.variants[name]
        networks, noise = self._networks(self.config.folder_of(variant), self.config.codec_of(variant)), None
        stream = self.config.stream_of(variant)
        if variant.sampler == "teacher":
            guidance = Guidance(
                text=variant.guidance_text, audio=variant.guidance_audio, null_prompt=variant.null_prompt
            )
            networks, noise = guided_by(networks, guidance, stream.seed)
        return Speaker(networks=networks, stream=stream, noise=noise)

    def film(self, variant: str, subject: Subject, utterance: Utterance, watcher: Watcher) -> Film:
        """What a variant shows."""
        return generate(self.speaker(variant), subject.portrait_HWC, subject.prompt, utterance.samples, watcher)

    def utterance(self, kind: str, index: int) -> Utterance | None:
        """What is said in the speech films of a character; None if no person's recordings are there."""
        said = self.sounds.human if kind == HUMAN else self.sounds.words
        return said(index, self.config.films.seconds)

    def truth(self, index: int, kind: str = SPEECH) -> Truth:
        """The drawing of that; `draw_truths` comes first."""
        return self._truth(self._file(index, kind))

    def draw_truths(self, index: int) -> None:
        """Draw what is not drawn yet: a character's speech, and a person's words if their phonemes are known."""
        for kind in (SPEECH, HUMAN):
            utterance, file = self.utterance(kind, index), self._file(index, kind)
            if utterance is not None and utterance.phonemes and not file.is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                draw_truth(file, self.subject(index), utterance, self.renderer, self.judge, self.size_px)

    def _subject(self, index: int) -> Subject:
        films = self.config.films
        return make_subject(
            index, films.seed, films.split, self.renderer, self.judge, self.size_px, nearest=films.nearest
        )

    def _build(self, folder: Path, codec_from: Path | None) -> Networks:
        dtype = getattr(torch, self.config.precision)
        return build_networks(model_of(self.config, folder), folder, self.device, dtype, codec_from=codec_from)

    def _file(self, index: int, kind: str) -> Path:
        config = self.config
        films = config.films
        made_of = [films.seed, films.split, films.seconds, films.nearest, self.size_px, config.samples_per_axis]
        name = digest([*made_of, str(config.speech), judge_fingerprint(config)])
        return self._cache / f"{name}-{index}-{kind}.safetensors"


def model_of(config: EvaluationConfig, folder: Path) -> ModelConfig:
    """The evaluation's model, or the checkpoint's own, or small. Raises ConfigError."""
    own = folder / MODEL_FILE
    return config.model or load_model_config(own if own.is_file() else "small")


def check_variant(config: EvaluationConfig, variant: Variant) -> str:
    """A fingerprint of its weights. Raises CheckpointError, ConfigError for what could not be filmed."""
    folder, codec = config.folder_of(variant), config.codec_of(variant)
    weights = open_weights(folder).digest
    check_stream(model_of(config, folder), config.stream_of(variant), variant.sampler)
    return digest([weights, open_weights(codec).digest if codec else None])


@lru_cache(1)
def judge_fingerprint(config: EvaluationConfig) -> str:
    """Of the judge's file. Raises CheckpointError."""
    file = Path(config.judge) / WEIGHTS
    if not file.is_file():
        raise CheckpointError(f"there is no {file}: train a judge with `python -m train.judge --out {config.judge}`")
    return sha256(file)
