import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flashtalk.errors import InputError
from train.synthetic.articulation import LOOK_AHEAD_S, RELEASE_S
from train.synthetic.gestures import BOUNDS
from train.synthetic.motion import FPS, MOODS, perform
from train.synthetic.phonemes import SAMPLE_RATE, SYMBOLS, VOWELS, Phoneme, Utterance
from train.synthetic.pose import POSE, VISEMES, mouth_opening
from train.synthetic.visemes import MOUTH, segments

SEEDS = st.integers(0, 2**62)
SPEECH_COLUMNS = [POSE.index(name) for name in MOUTH if name != "smile"]


def utterance(phonemes, seconds: float, loudness: float = 0.1, swing: float = 0.0) -> Utterance:
    noise = np.random.default_rng(7).standard_normal(round(seconds * SAMPLE_RATE))
    voiced = np.zeros(len(noise))
    for p, size in zip(phonemes, loudness * np.random.default_rng(8).uniform(1 - swing, 1, 1000), strict=False):
        voiced[round(p.start_s * SAMPLE_RATE) : round(p.end_s * SAMPLE_RATE)] = size
    return Utterance((noise * voiced).astype(np.float32), tuple(phonemes), "", "en", "v", "train", "espeak")


def spoken(symbols: str, at_s: float = 0.5, each_s: float = 0.1, stress: int = 1, seconds: float = 3.0) -> Utterance:
    names = symbols.split()
    phonemes = [Phoneme(s, at_s + i * each_s, at_s + (i + 1) * each_s, stress) for i, s in enumerate(names)]
    return utterance(phonemes, seconds)


def babble(seed: int, seconds: float = 4.0) -> Utterance:
    """Random sounds, lengths and pauses: laws must hold for all of them."""
    rng = np.random.default_rng(seed)
    at_s, phonemes = rng.uniform(0, 0.6), []
    while at_s < seconds - 1:
        for symbol in rng.choice(SYMBOLS, rng.integers(1, 13)):
            lasts_s = rng.uniform(0.03, 0.2)
            stress = int(rng.integers(3)) if symbol in VOWELS else 0
            phonemes.append(Phoneme(str(symbol), at_s, at_s + lasts_s, stress))
            at_s += lasts_s
        at_s += rng.uniform(0, 0.8)
    return utterance([p for p in phonemes if p.end_s < seconds], seconds, swing=0.95)


SPEECH = st.integers(0, 2**32).map(babble)


def column(poses_FP: torch.Tensor, name: str) -> np.ndarray:
    return poses_FP[:, POSE.index(name)].numpy()


def test_every_symbol_has_a_shape():
    segments([Phoneme(s, i * 0.1, i * 0.1 + 0.1) for i, s in enumerate(SYMBOLS)])


@settings(max_examples=25, deadline=None)
@given(SPEECH, SEEDS, st.sampled_from(MOODS))
def test_what_is_not_heard_yet_changes_nothing(said, seed, mood):
    cut_s = 2.0
    known = tuple(p for p in said.phonemes if p.start_s < cut_s)
    # A phoneme that sounds at the cut is known as a whole: its length shows only at its end.
    samples = np.where(np.arange(len(said.samples)) < cut_s * SAMPLE_RATE, said.samples, 0).astype(np.float32)
    cut = dataclasses.replace(said, phonemes=known, samples=samples)
    sure = int((cut_s - LOOK_AHEAD_S) * FPS) + 1
    whole, part = (perform(u, 100, seed, mood=mood).poses_FP[:sure] for u in (said, cut))
    torch.testing.assert_close(whole, part, rtol=0, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(SPEECH, SEEDS, st.integers(1, 99))
def test_a_longer_performance_begins_with_the_shorter(said, seed, count):
    longer, shorter = perform(said, 100, seed), perform(said, count, seed)
    assert longer.mood == shorter.mood
    torch.testing.assert_close(longer.poses_FP[:count], shorter.poses_FP, rtol=0, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(SPEECH, SEEDS)
def test_lips_are_at_rest_where_nobody_speaks(said, seed):
    poses_FP = perform(said, 110, seed).poses_FP
    time_s = np.arange(110) / FPS
    silent = np.ones(110, bool)
    for p in said.phonemes:
        silent &= (time_s < p.start_s - LOOK_AHEAD_S) | (time_s > p.end_s + RELEASE_S)
    assert poses_FP[silent][:, SPEECH_COLUMNS].abs().max() == 0
    assert mouth_opening(poses_FP[silent]).max() == 0


@settings(max_examples=25, deadline=None)
@given(SPEECH, SEEDS)
def test_lips_always_meet_for_m_b_p_and_teeth_for_f_v(said, seed):
    poses_FP = perform(said, 110, seed).poses_FP
    time_s, opening = np.arange(110) / FPS, mouth_opening(poses_FP).numpy()
    for before, p in zip((None, *said.phonemes), said.phonemes, strict=False):
        if before is not None and before.symbol in "MBPFV" and p.start_s - before.start_s < 0.12:
            continue
        near = (time_s >= p.start_s - 1e-6) & (time_s <= max(p.end_s, p.start_s + 0.04) + 1e-6)
        if p.symbol in "MBP":
            assert column(poses_FP, "press")[near].max() > 0.999
            assert opening[near].min() < 1e-3
        if p.symbol in "FV":
            assert column(poses_FP, "tuck")[near].max() > 0.999


@settings(max_examples=15, deadline=None)
@given(SPEECH, SEEDS, st.sampled_from(MOODS))
def test_columns_stay_in_range_and_move_without_jumps(said, seed, mood):
    poses_FP = perform(said, 110, seed, mood=mood).poses_FP
    assert poses_FP.dtype == torch.float32
    assert poses_FP.shape == (110, len(POSE))
    for name in POSE:
        low, high = (-BOUNDS[name], BOUNDS[name]) if name in BOUNDS else (-1 if name in ("wide", "brow") else 0, 1)
        assert column(poses_FP, name).min() >= low
        assert column(poses_FP, name).max() <= high
    steps = poses_FP.diff(dim=0).abs().amax(0).numpy()
    for name, most in {"yaw": 0.06, "pitch": 0.06, "roll": 0.05, "shift_x": 0.02, "shift_y": 0.02, "jaw": 0.6}.items():
        assert steps[POSE.index(name)] < most, name


def test_vowels_keep_their_shape_and_differ():
    shapes = {s: perform(spoken(s, each_s=0.3), 40, 1, mood="neutral").poses_FP[16] for s in ("AA", "IY", "UW", "AO")}
    assert shapes["AA"][POSE.index("jaw")] > 0.8 * VISEMES["AA"]["jaw"]
    assert shapes["IY"][POSE.index("wide")] > 0.6
    assert shapes["UW"][POSE.index("round")] > 0.8
    assert shapes["AO"][POSE.index("round")] > 0.5
    assert mouth_opening(shapes["AA"][None]) > 2 * mouth_opening(shapes["IY"][None])


def test_diphthongs_move():
    poses_FP = perform(spoken("OY", each_s=0.32), 40, 1, mood="neutral").poses_FP
    assert column(poses_FP, "round")[15] > 0.5
    assert column(poses_FP, "round")[20] < 0.2
    assert column(poses_FP, "wide")[20] > column(poses_FP, "wide")[14] + 0.3


def test_stress_pace_and_loudness_open_the_mouth():
    def widest(said: Utterance, first: int = 0) -> float:
        return float(mouth_opening(perform(said, 75, 1, mood="neutral").poses_FP)[first:].max())

    assert widest(spoken("T AA T", stress=0)) < 0.9 * widest(spoken("T AA T", stress=1))
    fast = spoken("T AA " * 14 + "T", each_s=0.05)
    assert widest(fast, first=20) < 0.85 * widest(spoken("T AA " * 6 + "T", each_s=0.14), first=20)
    loud, low = spoken("AA T AA", each_s=0.3), spoken("AA T AA", each_s=0.3)
    low.samples[round(1.1 * SAMPLE_RATE) :] *= 0.03
    assert widest(low, first=33) < 0.85 * widest(loud, first=33)
    louder = dataclasses.replace(loud, samples=loud.samples * 5)
    assert widest(louder) == pytest.approx(widest(loud), abs=1e-3)


def test_the_mouth_is_ahead_of_the_sound_but_little():
    opening = mouth_opening(perform(spoken("AA", at_s=1.0, each_s=0.3), 60, 1, mood="neutral").poses_FP).numpy()
    first = np.flatnonzero(opening > 0.02)[0] / FPS
    assert 1.0 - LOOK_AHEAD_S <= first <= 1.0


def test_eyes_blink_now_and_then_and_shut_completely():
    silence = Utterance(np.zeros(16000, np.float32), (), "", "", "none", "train", "negative")
    count, seconds = 0, 60
    for seed in range(20):
        lid = column(perform(silence, seconds * FPS, seed, mood="neutral").poses_FP, "blink_left")
        peaks = np.flatnonzero((lid[1:-1] >= lid[:-2]) & (lid[1:-1] > lid[2:]) & (lid[1:-1] > 0.5))
        assert (lid[1:-1][peaks] > 0.999).all()
        assert 2 <= len(peaks) <= 45
        count += len(peaks)
    assert 0.15 <= count / (20 * seconds) <= 0.4


def test_silence_is_alive_but_calm():
    silence = Utterance(np.zeros(16000, np.float32), (), "", "", "none", "train", "negative")
    talk = spoken("AA T IY M UW " * 40, seconds=30)
    quiet_FP, loud_FP = (perform(u, 500, 5, mood="lively").poses_FP for u in (silence, talk))
    quiet, loud = (float(poses_FP[:, POSE.index("yaw")].diff().std()) for poses_FP in (quiet_FP, loud_FP))
    assert 0 < quiet < 0.8 * loud
    breath = column(perform(silence, 1500, 5).poses_FP, "breath")
    rises = np.count_nonzero((breath[1:] >= 0.5) & (breath[:-1] < 0.5))
    assert 0.18 * 60 <= rises <= 0.32 * 60


def test_brows_and_head_follow_stress():
    at_s = np.arange(1.0, 59.0, 1.2)
    said = utterance([Phoneme("AA", t, t + 0.2, 1) for t in at_s], 60)
    flat = utterance([Phoneme("AA", t, t + 0.2, 0) for t in at_s], 60)
    for name in ("brow", "pitch"):
        moved = sum(
            column(
                perform(said, 1500, s, mood="neutral").poses_FP - perform(flat, 1500, s, mood="neutral").poses_FP, name
            )
            for s in range(8)
        )
        phase = (np.arange(1500) / FPS - 1.0) % 1.2
        assert moved[(phase > 0.05) & (phase < 0.3)].mean() > moved[(phase > 0.6) & (phase < 1.1)].mean() + 0.05, name


def test_moods_are_steady_and_different():
    said = spoken("AA T IY", seconds=12)
    faces = {mood: perform(said, 300, 3, mood=mood).poses_FP.mean(0) for mood in MOODS}
    assert faces["happy"][POSE.index("smile")] > faces["neutral"][POSE.index("smile")] + 0.3
    assert faces["surprised"][POSE.index("brow")] > 0.5
    assert faces["angry"][POSE.index("brow")] < -0.2
    assert faces["angry"][POSE.index("frown")] > 0.5
    assert faces["tired"][POSE.index("blink_left")] > 0.2
    assert {perform(said, 1, seed).mood for seed in range(200)} == set(MOODS)


@pytest.mark.parametrize(
    ("phonemes", "count", "mood", "code"),
    [
        ([Phoneme("QQ", 0, 1)], 10, None, "phonemes"),
        ([Phoneme("AA", 0, 1), Phoneme("T", 0.5, 1.2)], 10, None, "phonemes"),
        ([Phoneme("AA", 0.5, 0.5)], 10, None, "phonemes"),
        ([], 0, None, "frame_count"),
        ([], 10, "bored", "mood"),
    ],
)
def test_bad_input_is_told(phonemes, count, mood, code):
    with pytest.raises(InputError) as error:
        perform(utterance(phonemes, 2), count, 1, mood=mood)
    assert error.value.code == code
