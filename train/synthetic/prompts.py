"""Human speech: the prompts of Asterisk's core sounds with phoneme times by alignment. Called by the corpus.

One professional speaker a language. Allison Smith speaks English and Spanish and is kept for the test split; June
Wallack (French) and Carlo (Italian) are in train, the Russian speaker in validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashtalk.errors import ConfigError, InputError
from train.synthetic.align import Alignment, align
from train.synthetic.espeak import SpeechMaker
from train.synthetic.phonemes import Samples, Utterance
from train.synthetic.prompt_words import WORDS
from train.synthetic.voices import EspeakVoice

SOUNDS = Path("/usr/share/asterisk/sounds")
"""Where Debian's packages asterisk-core-sounds-*-g722 put them."""

LEAST_CONFIDENCE = 0.12
"""On 77 prompts: 0.20 +- 0.07 with their own text (70 kept), 0.02 +- 0.06 with another prompt's (2 kept)."""
MOST_HELD = 0.1
_RATES_WPM = (135, 175)


@dataclass(frozen=True)
class Speaker:
    """Who recorded a language's prompts. `folder` under the root, `models` espeak-ng voices that sound alike."""

    language: str
    folder: str
    name: str
    split: str
    licence: str
    models: tuple[tuple[str, str], ...]


SPEAKERS = (
    Speaker("en", "en_US_f_Allison", "Allison Smith", "test", "CC-BY-SA-3.0", (("en-us", "f2"), ("en-us", "f3"))),
    Speaker("es", "es_MX_f_Allison", "Allison Smith", "test", "CC-BY-SA-3.0", (("es-419", "f2"), ("es-419", "f3"))),
    Speaker("fr", "fr_CA_f_June", "June Wallack", "train", "CC-BY-SA-3.0", (("fr", "f2"), ("fr", "f3"))),
    Speaker("it", "it_IT_m_Carlo", "Carlo (Italian prompts)", "train", "CC-BY-SA-3.0", (("it", "m3"), ("it", ""))),
    Speaker(
        "ru", "ru_RU_f_IvrvoiceRU", "ivrvoice.ru (Maxim Topal)", "validation", "CC-BY-3.0", (("ru", "f2"), ("ru", "f3"))
    ),
)


def read_texts(path: Path) -> dict[str, str]:
    """Texts by name from a list in upstream's form: lines `name: text`, `;` opens a comment, [notes] are left out.

    The list (core-sounds-en.txt) lies in upstream's archives beside the sounds. InputError `texts`.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no list of prompts ({error}); give core-sounds-en.txt", code="texts") from error
    pairs = (line.partition(":") for line in lines if ":" in line and not line.startswith(";"))
    cleaned = {name.strip(): re.sub(r"\[[^\]]*\]|\([^)]*\)|\.\.\.", "", text).strip() for name, _, text in pairs}
    return {name.removesuffix(".wav"): text for name, text in cleaned.items() if re.search(r"\w", text)}


def human_utterances(
    maker: SpeechMaker, *, root: Path = SOUNDS, texts: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Utterance]:
    """Every prompt whose text is known and whose alignment is sure, speaker by speaker.

    `texts` adds a language's texts by name to our own lists of words. ConfigError `prompts_missing` without any sounds.
    """
    speakers = [speaker for speaker in SPEAKERS if (root / speaker.folder).is_dir()]
    if not speakers:
        raise ConfigError(
            f"{root} has no prompts: apt-get install asterisk-core-sounds-en-g722 (-es-, -fr-, -it-, -ru-)",
            code="prompts_missing",
        )
    for speaker in speakers:
        known = {**(texts or {}).get(speaker.language, {}), **WORDS[speaker.language]}
        for name, text in known.items():
            path = root / speaker.folder / f"{name}.g722"
            if path.is_file():
                utterance, _ = prompt(maker, speaker, decoded(path), text)
                if utterance is not None:
                    yield utterance


def decoded(path: Path) -> Samples:
    """A raw G.722 file at 16 kHz; InputError `audio_unreadable`. PyAV is loaded here: machines that train need none."""
    import av  # noqa: PLC0415

    try:
        with av.open(str(path), format="g722") as container:
            pieces = [frame.to_ndarray().ravel() for frame in container.decode(audio=0)]
    except av.FFmpegError as error:
        raise InputError(f"{path} is no G.722 sound ({error})", code="audio_unreadable") from error
    return np.concatenate(pieces).astype(np.float32) / np.float32(32768)


def prompt(maker: SpeechMaker, speaker: Speaker, samples: Samples, text: str) -> tuple[Utterance | None, Alignment]:
    """One recording with its text aligned; None instead of the utterance when the alignment is not sure."""
    spoken = [
        maker.speak(text, EspeakVoice(language, variant, rate_wpm))
        for language, variant in speaker.models
        for rate_wpm in _RATES_WPM
    ]
    best = max((align(samples, one) for one in spoken), key=lambda found: found.confidence - found.held)
    if best.confidence < LEAST_CONFIDENCE or best.held > MOST_HELD:
        return None, best
    voice = f"human:{speaker.name}"
    return Utterance(samples, best.phonemes, text, speaker.language, voice, speaker.split, "human"), best
