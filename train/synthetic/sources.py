"""Speech for clips by seed: espeak-ng, alone or beside recorded voices. Opened by synthetic/write and train/scripts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from train.config import SpeechConfig
from train.synthetic.clips import Speech
from train.synthetic.corpus import read
from train.synthetic.espeak import SpeechMaker
from train.synthetic.negatives import draw_negative
from train.synthetic.phonemes import Utterance
from train.synthetic.texts import sentences
from train.synthetic.voices import draw_language, draw_voice

CROWD = 4
"""Voices that a crowd in the background is made of."""


def open_speech(config: SpeechConfig) -> Speech:
    """What the config names. Raises ConfigError(espeak_missing), InputError for a damaged corpus."""
    espeak = EspeakSpeech(SpeechMaker(config.espeak_library, config.espeak_data))
    if config.corpus is None:
        return espeak
    return MixedSpeech(espeak, read(Path(config.corpus)), share=config.corpus_share, speed=config.corpus_speed)


class EspeakSpeech:
    """Sentences of drawn texts in drawn voices. See clips.Speech."""

    def __init__(self, maker: SpeechMaker) -> None:
        self._maker = maker

    def speak(self, seed: int, split: str, seconds: float) -> Sequence[Utterance]:
        """One voice says as many sentences as fill the time."""
        rng = np.random.default_rng(seed)
        language = draw_language(rng, split)
        voice, drawn = draw_voice(rng, split, language), sentences(language, split, rng)
        spoken: list[Utterance] = []
        while sum(one.duration_s for one in spoken) < seconds:
            sentence = next(drawn)
            spoken.append(self._maker.speak(sentence.text, voice, split=split, spoken=sentence.spoken, seed=seed))
        return spoken

    def noise(self, seed: int, split: str, seconds: float) -> Utterance:
        """Music, noise, or a crowd far away."""
        crowd = [self.speak(seed + 1 + number, split, 1.0)[0] for number in range(CROWD)]
        return draw_negative(seed, split, seconds, crowd)


class MixedSpeech:
    """A share of the clips takes recorded voices (festival, flite, human), one voice a clip. See clips.Speech."""

    def __init__(
        self,
        espeak: EspeakSpeech,
        utterances: Sequence[Utterance],
        share: float,
        speed: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self._espeak, self._share, self._speed = espeak, share, speed
        self._voices: dict[str, dict[str, list[Utterance]]] = defaultdict(lambda: defaultdict(list))
        for one in utterances:
            if one.phonemes:
                self._voices[one.split][one.voice].append(one)

    def speak(self, seed: int, split: str, seconds: float) -> Sequence[Utterance]:
        """Utterances of one recorded voice in a drawn order, all at one speed, or of espeak."""
        rng, voices = np.random.default_rng(seed), self._voices[split]
        if not voices or rng.uniform() >= self._share:
            return self._espeak.speak(seed, split, seconds)
        known = voices[str(rng.choice(sorted(voices)))]
        speed = float(rng.uniform(*self._speed)) if split == "train" else 1.0
        spoken: list[Utterance] = []
        while sum(one.duration_s for one in spoken) < seconds:
            spoken.append(at_speed(known[int(rng.integers(len(known)))], speed))
        return spoken

    def noise(self, seed: int, split: str, seconds: float) -> Utterance:
        """As espeak's."""
        return self._espeak.noise(seed, split, seconds)


def at_speed(utterance: Utterance, speed: float) -> Utterance:
    """The utterance played faster (above 1) or slower, as a tape is: pitch and formants move too, and all times."""
    up = round(100 / speed)
    if up == 100:
        return utterance
    samples = resample_poly(utterance.samples, up, 100).astype(np.float32)
    moved = tuple(
        replace(one, start_s=one.start_s * up / 100, end_s=one.end_s * up / 100) for one in utterance.phonemes
    )
    return replace(utterance, samples=samples, phonemes=moved)
