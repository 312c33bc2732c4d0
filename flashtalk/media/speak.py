"""Text to speech by the local program espeak-ng, where it is installed. Called by the app."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Literal

from flashtalk.errors import InputError

Speaker = Literal["female", "male"]
SPEAKERS: dict[Speaker, dict[str, str]] = {
    "female": {"en": "en+f3", "zh": "cmn+f2"},
    "male": {"en": "en+m3", "zh": "cmn+m3"},
}
"""Speaker and language -> espeak-ng's voice. "en" is British; version 1.51 forgets what comes after "en-gb"."""
MOST_LETTERS = {"en": 600, "zh": 250}
"""By language. Spoken by the slowest they stay below the two minutes of a film: a Chinese letter takes up to 0.44 s."""
_PATIENCE_S = 20.0


def can_speak() -> bool:
    """Whether the synthesiser is here."""
    return shutil.which("espeak-ng") is not None


def language_by_script(text: str) -> str:
    """Which of the languages a text is read in: "zh" for one with Chinese letters, else "en"."""
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"


def words_of(text: str, language: str) -> str:
    """What there is to speak, if it can be. Raises InputError(text_empty, text_long, no_synthesiser)."""
    words = " ".join(text.split())
    if not words:
        raise InputError("There is no text to speak; write a sentence.", code="text_empty")
    if len(words) > MOST_LETTERS[language]:
        kind = "a text with Chinese letters" if language == "zh" else "the text"
        message = f"{len(words)} letters are too many: {MOST_LETTERS[language]} are allowed for {kind}. Shorten it."
        raise InputError(message, code="text_long")
    if not can_speak():
        message = "No speech synthesiser is installed here; install espeak-ng, or record or upload a voice."
        raise InputError(message, code="no_synthesiser")
    return words


def speak(text: str, language: str, path: str | Path, speaker: Speaker = "female") -> None:
    """Write `text` as speech to a WAV file at `path`. Raises as `words_of` does."""
    words = words_of(text, language)
    command = ["espeak-ng", "-v", SPEAKERS[speaker][language], "-s", "150", "-w", str(path), "--stdin"]
    try:
        subprocess.run(command, input=words.encode(), check=True, capture_output=True, timeout=_PATIENCE_S)
    except (subprocess.SubprocessError, OSError):
        message = "The synthesiser could not speak this text; write it in plain words."
        raise InputError(message, code="no_synthesiser") from None
