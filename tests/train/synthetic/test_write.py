import json

import pytest
import typer
from typer.testing import CliRunner

from flashtalk.errors import ConfigError, InputError
from tests.train.synthetic.test_clips import Babble
from train.shards import ClipShards
from train.synthetic.write import WriteConfig, main, parse_size, write_set

SMALL = {"frames": 3, "size_px": (32, 48), "frames_format": "png", "samples_per_axis": 1}


def write(out, clips: int = 3, per_shard: int = 2, **other):
    config = WriteConfig(clips=clips, clips_per_shard=per_shard, **(SMALL | other))
    return list(write_set(config, out, speech=Babble()))[-1]


def test_a_written_set_is_what_was_asked_for(tmp_path):
    manifest = write(tmp_path, seed=5)
    assert manifest.complete
    assert manifest.config["seed"] == 5
    clips = [clip for _, clip in ClipShards(tmp_path, "train", verify=True).clips()]
    assert [clip.key for clip in clips] == ["00000000", "00000001", "00000002"]
    assert {clip.size_px for clip in clips} == {(32, 48)}
    assert all(len(clip.frames_FHWC) == len(clip.poses_FP) == 3 for clip in clips)
    assert {"kind", "mood", "text", "phonemes", "character"} <= set(clips[0].details)


def test_clips_do_not_depend_on_the_shards(tmp_path):
    write(tmp_path / "a", clips=3, per_shard=2)
    write(tmp_path / "b", clips=2, per_shard=1)
    left, right = ClipShards(tmp_path / "a", "train"), ClipShards(tmp_path / "b", "train")
    for position in range(2):
        assert (left[position].frames_FHWC == right[position].frames_FHWC).all()
        assert (left[position].samples == right[position].samples).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_px": (40, 48)},
        {"size_px": (0, 32)},
        {"split": "all"},
        {"frames_format": "gif"},
        {"crf": 0},
        {"frames": 0},
    ],
)
def test_settings_that_cannot_be_written(wrong):
    with pytest.raises(ConfigError):
        WriteConfig(**wrong)


def test_sizes():
    assert parse_size("256x384") == (256, 384)
    for text in ("256", "axb", "1x2x3"):
        with pytest.raises(ConfigError):
            parse_size(text)


def test_an_own_source_serves_one_worker(tmp_path):
    with pytest.raises(InputError) as error:
        write_set(WriteConfig(), tmp_path, workers=2, speech=Babble())
    assert error.value.code == "workers"


@pytest.mark.slow
def test_the_command_gives_the_same_bytes_with_one_worker_and_two(tmp_path):
    out, app = tmp_path / "two", typer.Typer()
    app.command()(main)
    options = f"--out {out} --clips 2 --clips-per-shard 1 --seconds 0.5 --size 32x32 --frames png --workers 2"
    told = CliRunner().invoke(app, [*options.split(), "--samples-per-axis", "1"], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    assert json.loads(told.output.splitlines()[-1])["clips"] == 2
    alone = WriteConfig(clips=2, clips_per_shard=1, **{**SMALL, "size_px": (32, 32), "frames": 12})
    *_, manifest = write_set(alone, tmp_path / "one")
    assert manifest.shards == ClipShards(out, "train").manifest.shards
