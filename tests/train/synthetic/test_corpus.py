import json
import shutil
from itertools import islice

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from flashtalk.errors import ConfigError, InputError
from train.synthetic import corpus, recorded
from train.synthetic.phonemes import SAMPLE_RATE, SPLITS, SYMBOLS, Phoneme, Utterance
from train.synthetic.prompts import SPEAKERS, read_texts

SILENCE = Utterance(np.zeros(800, np.float32), (), "", "", "negative:silence", "test", "negative")


def spoken(seed: int) -> Utterance:
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal(4000 + 100 * seed) * 0.2).clip(-1, 1).astype(np.float32)
    edges = np.sort(rng.integers(0, len(samples), 9)) / SAMPLE_RATE
    phonemes = tuple(
        Phoneme(SYMBOLS[int(rng.integers(len(SYMBOLS)))], a, b, int(rng.integers(3)))
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    )
    return Utterance(samples, phonemes, f"text ö 你 {seed}", "en-us", f"espeak:{seed}", SPLITS[seed % 3], "espeak")


def test_a_corpus_comes_back(tmp_path) -> None:
    given = [*map(spoken, range(5)), SILENCE]
    corpus.write(tmp_path, given, credited=[{"name": "nobody", "licence": "free"}])
    found = corpus.read(tmp_path, check=True)
    assert len(found) == len(given)
    for one, other in zip(given, found, strict=True):
        assert one.phonemes == other.phonemes
        assert [getattr(one, name) for name in ("text", "language", "voice", "split", "source")] == [
            getattr(other, name) for name in ("text", "language", "voice", "split", "source")
        ]
        assert other.samples.dtype == np.float32
        assert np.abs(one.samples - other.samples).max() <= 0.025
    assert found.seconds == pytest.approx(sum(one.duration_s for one in given))
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert manifest["credits"][0]["licence"] == "free"
    assert {row["split"] for row in manifest["voices"]} == set(SPLITS)


def test_some_of_a_corpus_can_be_kept(tmp_path) -> None:
    corpus.write(tmp_path, map(spoken, range(6)))
    found = corpus.read(tmp_path)
    assert [one.split for one in found.kept(lambda split, *_: split == "test")] == ["test", "test"]
    assert [one.voice for one in found[2:4]] == ["espeak:2", "espeak:3"]


def test_coding_noise_is_38_db_under_speech_and_silence_is_exact() -> None:
    samples = (np.random.default_rng(0).laplace(size=100000) * 0.05).clip(-1, 1).astype(np.float32)
    noise = corpus.decode(corpus.encode(samples)) - samples
    assert 10 * np.log10(np.mean(samples**2) / np.mean(noise**2)) > 35
    assert not corpus.decode(corpus.encode(np.zeros(10, np.float32))).any()


def test_a_damaged_or_missing_corpus_is_told(tmp_path) -> None:
    with pytest.raises(InputError) as missing:
        corpus.read(tmp_path)
    assert missing.value.code == "corpus_missing"
    corpus.write(tmp_path, [SILENCE])
    with pytest.raises(InputError) as there:
        corpus.write(tmp_path, [SILENCE])
    assert there.value.code == "corpus_exists"
    shard = tmp_path / "speech-00000.npz"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError) as damaged:
        corpus.read(tmp_path, check=True)
    assert damaged.value.code == "corpus_damaged"
    with pytest.raises(InputError) as empty:
        corpus.write(tmp_path / "empty", [])
    assert empty.value.code == "corpus_empty"


def test_recorded_speakers_are_in_one_split_each() -> None:
    split_of: dict[str, str] = {}
    for name, split in [(v.speaker, v.split) for v in recorded.VOICES] + [(s.name, s.split) for s in SPEAKERS]:
        assert split_of.setdefault(name, split) == split
    assert split_of["Allison Smith"] == "test"
    assert set(split_of.values()) == set(SPLITS)


@pytest.mark.parametrize("program", ["festival", "flite"])
def test_recorded_voices_tell_where_their_sounds_are(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    for said in islice(recorded.recorded_utterances(program, seed=1), 2):
        power = said.samples.astype(float) ** 2
        inside = np.zeros(len(power), bool)
        for phoneme in said.phonemes:
            inside[round(phoneme.start_s * SAMPLE_RATE) : round(phoneme.end_s * SAMPLE_RATE)] = True
        assert len(said.phonemes) > 5
        assert power[inside].sum() > 0.95 * power.sum()


def test_missing_programs_are_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt-get install flite"):
        next(recorded.recorded_utterances("flite", 0))


def test_lists_of_prompts_are_read(tmp_path) -> None:
    path = tmp_path / "core-sounds-en.txt"
    path.write_text(
        "; comment: no\nhello-world: Hello world.\nbeep: [a tone]\nfollowme/sorry.wav: I'm sorry ... (twice)\n"
    )
    assert read_texts(path) == {"hello-world": "Hello world.", "followme/sorry": "I'm sorry"}
    with pytest.raises(InputError):
        read_texts(tmp_path / "none.txt")


def test_the_command_writes_what_was_asked_for(tmp_path) -> None:
    app = Typer(pretty_exceptions_enable=False)
    app.command()(corpus.main)
    done = CliRunner().invoke(app, ["--out", str(tmp_path), "--hours", "0.003", "--sources", "negative"])
    assert done.exit_code == 0, done.output
    found = corpus.read(tmp_path, check=True)
    assert found.seconds >= 0.003 * 3600
    assert {one.source for one in found} == {"negative"}
    refused = CliRunner().invoke(app, ["--out", str(tmp_path), "--sources", "radio"])
    assert isinstance(refused.exception, ConfigError)
    unread = CliRunner().invoke(app, ["--out", str(tmp_path / "human"), "--sources", "human"])
    assert "--reader" in str(unread.exception)
