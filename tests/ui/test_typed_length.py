"""How long a typed text may be: what is allowed becomes a film, and page and refusal say the same limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashtalk.config_app import UiConfig
from flashtalk.errors import InputError
from flashtalk.media import speak
from flashtalk.media.audio import read_audio_all
from flashtalk.ui.why import chinese
from tests.ui.test_page_scripts import played

TOLD = {
    "en": "The quick brown fox jumps over the lazy dog, and runs. ",
    "zh": "大家好！欢迎来到我们的频道。今天，我想和你们分享一个小故事。很久以前，在一个遥远的村庄里，住着一位老人。",
}


@pytest.mark.skipif(not speak.can_speak(), reason="needs the program espeak-ng, and it is not installed here")
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_longest_text_that_is_allowed_is_not_too_long_for_a_film(language: str, tmp_path: Path) -> None:
    most = speak.MOST_LETTERS[language]
    speak.speak((TOLD[language] * 20)[:most].strip(), language, tmp_path / "a.wav", "male")
    assert read_audio_all(tmp_path / "a.wav", 16000).size / 16000 < UiConfig().film_max_s


@pytest.mark.parametrize(("language", "letter", "said"), [("en", "a", "the text"), ("zh", "好", "Chinese")])
def test_a_longer_text_is_refused_with_the_limit_for_its_script(
    language: str, letter: str, said: str, tmp_path: Path
) -> None:
    most = speak.MOST_LETTERS[language]
    with pytest.raises(InputError, match=f"^{most + 1} letters .* {most} are allowed for .*{said}") as refused:
        speak.speak(letter * (most + 1), language, tmp_path / "a.wav")
    assert refused.value.code == "text_long"
    assert str(most) in chinese(refused.value)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("Hello.", ["6", "10", "fits"]),
        ("Hello there.", ["12", "10", "long"]),
        ("早上好！", ["4", "4", "fits"]),
        ("早上好！！", ["5", "4", "long"]),
        ("Hi 好 hi", ["7", "4", "long"]),
    ],
)
def test_the_counter_counts_to_the_limit_for_the_script(text: str, counted: list[str]) -> None:
    assert played("typing.js", ["type", text], ["counts"])[-1] == counted
