import numpy as np
import pytest
import torch

from flashtalk.errors import InputError
from flashtalk.ops.seeds import mixed_seed
from tests.train.synthetic.test_motion import babble
from train.clip import SAMPLES_PER_FRAME, SPLITS
from train.synthetic.clips import ClipMaker, Mixture, draw_clip, join, mood_caption
from train.synthetic.motion import FPS, MOODS
from train.synthetic.phonemes import SAMPLE_RATE, Phoneme, Utterance
from train.synthetic.pose import POSE, mouth_opening
from train.synthetic.traits import draw_character


class Babble:
    """Speech without words: every voice and text names its split."""

    def speak(self, seed: int, split: str, seconds: float) -> list[Utterance]:
        voice = f"{split}:{seed % 5}"
        return [self._one(mixed_seed(seed, n), split, voice) for n in range(1 + int(seconds / 2))]

    def noise(self, seed: int, split: str, seconds: float) -> Utterance:
        samples = np.random.default_rng(seed).uniform(-0.1, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)
        return Utterance(samples, (), "", "", "hum", split, "negative")

    def _one(self, seed: int, split: str, voice: str) -> Utterance:
        said = babble(seed % 2**32, 2.0)
        first_s = said.phonemes[0].start_s
        phonemes = tuple(Phoneme(p.symbol, p.start_s - first_s, p.end_s - first_s, p.stress) for p in said.phonemes)
        samples = said.samples[round(first_s * SAMPLE_RATE) :]
        return Utterance(samples, phonemes, f"text {seed}", "en", voice, split, "espeak")


@pytest.fixture(scope="module")
def maker() -> ClipMaker:
    return ClipMaker(3, "train", Babble(), frame_count=100)


def same(a, b) -> bool:
    return (
        (a.character, a.caption, a.kind, a.sound.phonemes) == (b.character, b.caption, b.kind, b.sound.phonemes)
        and np.array_equal(a.sound.samples, b.sound.samples)
        and torch.equal(a.performance.poses_FP, b.performance.poses_FP)
    )


def test_a_number_gives_the_same_clip_in_any_order(maker):
    forward = [maker.script(n) for n in range(6)]
    again = ClipMaker(3, "train", Babble(), frame_count=100)
    assert all(same(forward[n], again.script(n)) for n in reversed(range(6)))
    assert not same(forward[0], forward[1])
    assert not same(forward[0], ClipMaker(4, "train", Babble(), frame_count=100).script(0))


def test_sound_and_poses_have_one_length(maker):
    for n in range(20):
        script = maker.script(n)
        assert script.sound.samples.shape == (100 * SAMPLES_PER_FRAME,)
        assert script.sound.samples.dtype == np.float32
        assert script.performance.poses_FP.shape == (100, len(POSE))


def test_character_voice_and_text_are_of_one_split():
    everywhere = [{}, {}, {}]
    for split in SPLITS:
        for n in range(30):
            script = ClipMaker(3, split, Babble(), frame_count=50).script(n)
            assert script.character.split == script.sound.split == split
            for seen, value in zip(everywhere, (script.character, script.sound.voice, script.sound.text), strict=True):
                if script.kind == "speech":
                    assert seen.setdefault(value, split) == split


def test_speech_of_another_split_is_refused():
    class Leaky(Babble):
        def speak(self, seed, split, seconds):
            return super().speak(seed, "train", seconds)

    leaky = ClipMaker(1, "test", Leaky(), frame_count=50)
    with pytest.raises(InputError) as error:
        [leaky.script(n) for n in range(20)]
    assert error.value.code == "no_speech"


def test_the_mixture_is_kept_and_nobody_speaks_in_noise_or_silence(maker):
    scripts = [maker.script(n) for n in range(300)]
    kinds = [script.kind for script in scripts]
    assert 0.02 < kinds.count("silence") / 300 < 0.09
    assert 0.12 < kinds.count("noise") / 300 < 0.28
    for script in scripts:
        opening = mouth_opening(script.performance.poses_FP)
        if script.kind == "speech":
            assert opening.max() > 0.1
        else:
            assert opening.max() == 0
            assert script.sound.phonemes == ()
            assert (script.sound.samples == 0).all() == (script.kind == "silence")
    spoken = [script for script in scripts if script.kind == "speech"]
    silent_starts = [not script.sound.samples[: SAMPLE_RATE // 10].any() for script in spoken]
    assert 0.4 < np.mean(silent_starts) < 0.75


def test_phonemes_move_with_their_sound():
    click = np.zeros(8000, np.float32)
    click[1600:3200] = 0.5
    one = Utterance(click, (Phoneme("AA", 0.1, 0.2, 1),), "ah", "en", "v", "train", "espeak")
    whole = join([one, one, one], [0.25, 0.3, 0.0], 2 * SAMPLE_RATE)
    assert len(whole.phonemes) == 3
    for p in whole.phonemes:
        inside = whole.samples[round(p.start_s * SAMPLE_RATE) : round(p.end_s * SAMPLE_RATE)]
        assert (inside == 0.5).all()
    assert np.count_nonzero(whole.samples) == 3 * 1600
    cut = join([one, one], [0.0, 0.0], 9000)
    assert len(cut.samples) == 9000
    assert len(cut.phonemes) == 1
    assert len(join([one], [0.0], 32000).samples) == 32000


def test_interludes_are_heard_but_not_spoken():
    maker = ClipMaker(
        1, "train", Babble(), frame_count=200, mixture=Mixture(interlude_share=1.0, silent_share=0, noise_share=0)
    )
    script = maker.script(0)
    time_s = np.arange(len(script.sound.samples)) / SAMPLE_RATE
    speaking = np.zeros(len(time_s), bool)
    for p in script.sound.phonemes:
        speaking |= (time_s >= p.start_s - 0.01) & (time_s < p.end_s + 0.01)
    assert script.sound.samples[~speaking].any()


def test_captions_are_short_and_tell_the_mood():
    for seed in range(300):
        character = draw_character(seed)
        for mood in MOODS:
            text = mood_caption(character, mood)
            assert len(text.encode()) <= 60
            assert (mood in text) == (mood != "neutral")
    assert mood_caption(draw_character(1), "angry").startswith("an angry ")


def test_a_drawn_clip_shows_its_poses(maker):
    from train.synthetic.render import Renderer

    short = ClipMaker(3, "train", Babble(), frame_count=3)
    renderer = Renderer(torch.device("cpu"))
    script = short.script(0)
    clip = draw_clip(script, renderer, (64, 48))
    assert clip.frames_FHWC.shape == (3, 64, 48, 3)
    assert clip.key == "00000000"
    assert clip.caption == script.caption
    np.testing.assert_array_equal(clip.poses_FP, script.performance.poses_FP.numpy())
    alone = renderer.frames([script.character], script.performance.poses_FP[2:], (64, 48))[0].permute(1, 2, 0).numpy()
    assert np.abs(alone.astype(int) - clip.frames_FHWC[2]).mean() < 1
    assert FPS == 25
