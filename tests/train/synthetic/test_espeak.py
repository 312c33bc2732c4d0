import ctypes.util
from itertools import islice

import numpy as np
import pytest

from flashtalk.errors import ConfigError, InputError
from train.synthetic import texts
from train.synthetic.espeak import SpeechMaker
from train.synthetic.ipa import symbols_of_ipa
from train.synthetic.phonemes import SAMPLE_RATE, SPLITS, SYMBOLS, VOWELS, Utterance
from train.synthetic.speakers import SpeakerConfig, draw_utterance, utterances
from train.synthetic.voices import LANGUAGES, EspeakVoice, draw_language, draw_voice, variants

pytestmark = pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is not installed")

US = EspeakVoice("en-us", "m3")
PLOSIVE = "A pub appeared. Bob copied a paper cup. Peter kept a pet."


@pytest.fixture(scope="module")
def maker() -> SpeechMaker:
    return SpeechMaker()


def symbols(utterance: Utterance) -> list[str]:
    return [phoneme.symbol for phoneme in utterance.phonemes]


def spans(utterance: Utterance) -> np.ndarray:
    """Whether each sample lies in a phoneme."""
    inside = np.zeros(len(utterance.samples), bool)
    for phoneme in utterance.phonemes:
        inside[round(phoneme.start_s * SAMPLE_RATE) : round(phoneme.end_s * SAMPLE_RATE)] = True
    return inside


@pytest.mark.parametrize("language", LANGUAGES)
def test_phonemes_are_known_ordered_and_cover_the_sound(maker: SpeechMaker, language: str) -> None:
    rng = np.random.default_rng(5)
    for sentence in islice(texts.sentences(language, "train", rng), 4):
        said = maker.speak(sentence.text, draw_voice(rng, "train", language), spoken=sentence.spoken)
        edges = [edge for phoneme in said.phonemes for edge in (phoneme.start_s, phoneme.end_s)]
        assert [0.0, *edges, said.duration_s + 1e-3] == sorted([0.0, *edges, said.duration_s + 1e-3])
        assert set(symbols(said)) <= set(SYMBOLS)
        assert set(symbols(said)) & set(VOWELS)
        assert np.abs(said.samples).max() <= 1
        power = said.samples.astype(float) ** 2
        assert power[spans(said)].sum() > 0.97 * power.sum()


def test_pauses_between_sentences_are_silent_and_without_phonemes(maker: SpeechMaker) -> None:
    said = maker.speak("We sailed away. Nobody knew.", EspeakVoice("en-us", "m3", 150))
    gaps = [b.start_s - a.end_s for a, b in zip(said.phonemes, said.phonemes[1:], strict=False)]
    place = int(np.argmax(gaps))
    start, end = (round(t * SAMPLE_RATE) for t in (said.phonemes[place].end_s, said.phonemes[place + 1].start_s))
    assert gaps[place] > 0.2
    assert np.sqrt(np.mean(said.samples[start:end] ** 2)) < 0.05 * np.sqrt(np.mean(said.samples**2))


def test_stops_begin_with_a_closed_mouth(maker: SpeechMaker) -> None:
    said = maker.speak(PLOSIVE, EspeakVoice("en-us", "m3", 140))
    stops = [phoneme for phoneme in said.phonemes if phoneme.symbol in ("P", "K", "T")]
    quiet = 0
    for phoneme in stops:
        start = round(phoneme.start_s * SAMPLE_RATE)
        opening = said.samples[start + 32 : start + 160]
        quiet += float(np.abs(opening).max()) < 0.03
    assert len(stops) > 8
    assert quiet > 0.7 * len(stops)


def test_english_and_mandarin_words_are_told_in_the_inventory(maker: SpeechMaker) -> None:
    assert symbols(maker.speak("ship", US)) == ["SH", "IH", "P"]
    assert symbols(maker.speak("joyful", US))[:4] == ["JH", "OY", "F", "AX"]
    nihao = maker.speak("你好", EspeakVoice("cmn-latn-pinyin"), spoken="ni3 hao3")
    assert symbols(nihao) == ["N", "IY", "X", "AW"]
    assert nihao.text == "你好"
    assert nihao.language == "cmn"


def test_stress_is_on_the_right_vowel(maker: SpeechMaker) -> None:
    said = maker.speak("about", US)
    assert [phoneme.stress for phoneme in said.phonemes if phoneme.symbol in VOWELS] == [0, 1]


def test_ipa_shares_add_up_and_pauses_give_nothing() -> None:
    for ipa in ("tʃ", "aɪɚ", "uai", "ɐ̃ʊ̃", "iː", "ts.h", "yɛ", "pf", "ʲ"):
        assert sum(share for _, share in symbols_of_ipa(ipa)) == pytest.approx(1)
    assert symbols_of_ipa("") == symbols_of_ipa("_:") == ()


def test_the_same_call_gives_the_same_sound_whatever_was_said_before(maker: SpeechMaker) -> None:
    voice = EspeakVoice("en-us", "f2", 160)
    first = maker.speak("The sun was shining and six fishes sang.", voice, seed=4)
    maker.speak("Guten Tag, Hase.", EspeakVoice("de", "klatt"))
    again = SpeechMaker().speak("The sun was shining and six fishes sang.", voice, seed=4)
    assert np.array_equal(first.samples, again.samples)
    assert first.phonemes == again.phonemes


def test_the_same_seed_gives_the_same_utterances_whatever_the_workers() -> None:
    config = SpeakerConfig(seed=11)
    alone = list(islice(utterances(config), 7))
    shared = list(islice(utterances(config, workers=2), 7))
    later = list(islice(utterances(config, start=4), 3))
    for one, other in zip([*alone, *alone[4:]], [*shared, *later], strict=True):
        assert (one.text, one.voice, one.phonemes) == (other.text, other.voice, other.phonemes)
        assert np.array_equal(one.samples, other.samples)
    assert len({one.text for one in alone}) == 7


def test_faster_speech_is_shorter(maker: SpeechMaker) -> None:
    slow, fast = (maker.speak(PLOSIVE, EspeakVoice("en-us", "m3", rate)).duration_s for rate in (130, 220))
    assert fast < 0.8 * slow


def test_no_speaker_and_no_text_is_in_two_splits(maker: SpeechMaker) -> None:
    speakers = {split: set(variants(split)) for split in SPLITS}
    said = {
        split: {s.text for s in islice(texts.sentences("en", split, np.random.default_rng(3)), 200)} for split in SPLITS
    }
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not speakers[one] & speakers[other]
        assert not said[one] & said[other]
    drawn = [draw_utterance(maker, SpeakerConfig(seed=2, split="test"), index) for index in range(4)]
    assert all(one.split == "test" and one.voice.rpartition("+")[2] in speakers["test"] for one in drawn)


def test_hindi_is_kept_for_the_test_split() -> None:
    rng = np.random.default_rng(0)
    assert "hi" not in {draw_language(rng, "train") for _ in range(400)}
    assert "hi" in {draw_language(rng, "test") for _ in range(400)}


@pytest.mark.parametrize("language", texts.languages())
def test_texts_are_varied_and_whole(language: str) -> None:
    drawn = list(islice(texts.sentences(language, "train", np.random.default_rng(1)), 300))
    assert len({sentence.text for sentence in drawn}) > 200
    assert not any(mark in sentence.text + sentence.spoken for sentence in drawn for mark in "{}|=/")


def test_what_is_missing_is_told(maker: SpeechMaker, tmp_path) -> None:
    with pytest.raises(ConfigError, match="apt-get install espeak-ng") as missing:
        SpeechMaker(tmp_path)
    assert missing.value.code == "espeak_missing"
    with pytest.raises(InputError, match="no voice") as unknown:
        maker.speak("hello", EspeakVoice("xx-nowhere"))
    assert unknown.value.code == "voice_unknown"
    with pytest.raises(InputError) as silent:
        maker.speak(" ", US)
    assert silent.value.code == "text_silent"
    with pytest.raises(InputError, match="no sentences"):
        next(texts.sentences("xx", "train", np.random.default_rng(0)))
