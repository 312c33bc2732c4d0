import dataclasses
import io
import json
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from flashtalk.errors import InputError
from train.clip import SAMPLES_PER_FRAME, Clip
from train.packing import pack, unpack
from train.shard_writer import ShardPlan, write_shard, write_shards
from train.shards import MANIFEST, ClipShards, read_manifest


def clip(number: int = 0, frames: int = 5, size: tuple[int, int] = (32, 48), split: str = "train", **other) -> Clip:
    rng = np.random.default_rng(number)
    values = {
        "key": f"{number:08d}",
        "frames_FHWC": rng.integers(0, 256, (frames, *size, 3), dtype=np.uint8),
        "samples": rng.uniform(-1, 1, frames * SAMPLES_PER_FRAME).astype(np.float32),
        "poses_FP": rng.standard_normal((frames, 25)).astype(np.float32),
        "caption": "a woman with red curly hair",
        "subject": f"character:{number}",
        "voice": "espeak:en",
        "language": "en",
        "split": split,
        "source": "drawn",
        "details": {"mood": "happy", "phonemes": [["AA", 0.1, 0.2, 1]]},
    }
    return Clip(**(values | other))


def same(a: Clip, b: Clip) -> bool:
    arrays = ("frames_FHWC", "poses_FP")
    plain = [f.name for f in dataclasses.fields(Clip) if f.name not in (*arrays, "samples")]
    return (
        all(getattr(a, name) == getattr(b, name) for name in plain)
        and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)
        and np.abs(a.samples - b.samples).max() <= 1 / 32768
    )


def plan(tmp_path, clips: int = 7, per_shard: int = 3, **config) -> ShardPlan:
    folder = tmp_path / "train"
    return ShardPlan(folder=folder, split="train", items=clips, items_per_shard=per_shard, config={"seed": 0} | config)


def written(the_plan: ShardPlan, made: list | None = None, order=lambda numbers: numbers):
    def write(shard: int):
        clips = (clip(number) for number in the_plan.numbers(shard))
        record = write_shard(the_plan.path(shard), clips, "png", 16)
        if made is not None:
            made.append(shard)
        return record

    return list(write_shards(the_plan, write, lambda one, numbers: map(one, order(numbers))))[-1]


def test_png_clips_come_back_as_they_were():
    before = clip()
    after = unpack(pack(before, "png"), before.key)
    assert same(before, after)
    again = unpack(pack(after, "png"), before.key)
    assert np.array_equal(again.samples, after.samples)


def test_long_and_poseless_clips_come_back():
    before = clip(frames=37, poses_FP=None)
    after = unpack(pack(before, "png"), before.key)
    assert after.poses_FP is None
    assert np.array_equal(before.frames_FHWC, after.frames_FHWC)


def test_mp4_clips_come_back_frame_by_frame():
    pytest.importorskip("av")
    ramp = np.linspace(20, 230, 40).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None, None, None], (40, 64, 48, 3)).copy()
    before = clip(frames=40, size=(64, 48), frames_FHWC=frames)
    packed = pack(before, "mp4")
    assert packed == pack(before, "mp4")
    after = unpack(packed, before.key)
    assert np.abs(after.frames_FHWC.astype(int) - frames).mean() < 2
    assert len(after.samples) == 40 * SAMPLES_PER_FRAME


@pytest.mark.parametrize("change", ["drop", "flip", "description", "poses"])
@pytest.mark.parametrize("name", ["json", "000.png", "wav", "poses.npy"])
def test_damaged_clips_are_told(name, change):
    before = clip()
    files = pack(before, "png")
    full = f"{before.key}.{name}"
    if change == "drop":
        del files[full]
    elif change == "flip":
        middle = len(files[full]) // 2
        files[full] = files[full][:middle] + bytes([files[full][middle] ^ 0x80]) + files[full][middle + 1 :]
    else:
        described = json.loads(files[f"{before.key}.json"])
        described["frames" if change == "description" else "crc32"] = 10**12 if change == "description" else {}
        files[f"{before.key}.json"] = json.dumps(described).encode()
    with pytest.raises(InputError) as error:
        unpack(files, before.key)
    assert error.value.code == "clip_damaged"


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


def test_poses_are_never_unpickled(tmp_path):
    before = clip()
    files = pack(before, "png")
    evil = io.BytesIO()
    np.save(evil, np.array([Evil(tmp_path / "unpickled")], dtype=object), allow_pickle=True)
    described = json.loads(files[f"{before.key}.json"])
    del described["crc32"]["poses.npy"]
    described["crc32"]["poses.npy"] = zlib.crc32(evil.getvalue())
    files |= {f"{before.key}.poses.npy": evil.getvalue(), f"{before.key}.json": json.dumps(described).encode()}
    with pytest.raises(InputError) as error:
        unpack(files, before.key)
    assert error.value.code == "clip_damaged"
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": np.zeros(7, np.float32)},
        {"samples": np.full(5 * SAMPLES_PER_FRAME, np.nan, np.float32)},
        {"samples": np.zeros(5 * SAMPLES_PER_FRAME)},
        {"poses_FP": np.zeros((4, 25), np.float32)},
        {"frames_FHWC": np.zeros((5, 8, 8, 3), np.float32)},
        {"split": "all"},
    ],
)
def test_a_clip_holds_together(wrong):
    with pytest.raises(InputError) as error:
        clip(**wrong)
    assert error.value.code == "clip"


def test_most_chunks():
    counts = {33: 1, 60: 1, 61: 2, 89: 3, 117: 4, 145: 5, 20: 0}
    assert {n: clip(frames=n, size=(16, 16), poses_FP=None).most_chunks() for n in counts} == counts


def test_shards_give_all_clips_in_order(tmp_path):
    manifest = written(plan(tmp_path), order=reversed)
    assert [record.clips for record in manifest.shards] == [3, 3, 1]
    shards = ClipShards(tmp_path, "train", verify=True)
    assert len(shards) == 7
    read = list(shards.clips())
    assert [position for position, _ in read] == list(range(7))
    assert all(same(one, clip(position)) for position, one in read)


def test_descriptions_are_read_alone(tmp_path):
    written(plan(tmp_path))
    described = ClipShards(tmp_path, "train").description(4)
    assert (described["key"], described["size_px"], described["frames"]) == ("00000004", [32, 48], 5)


def test_ranks_share_the_clips_and_go_on_where_they_were(tmp_path):
    written(plan(tmp_path))
    shards = ClipShards(tmp_path, "train")
    ranks = [[p for p, _ in shards.clips(rank, step=2)] for rank in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(7))
    assert [p for p, _ in shards.clips(4, step=2)] == [4, 6]


def test_the_same_bytes_however_it_was_written(tmp_path):
    first = written(plan(tmp_path / "a"))
    second = written(plan(tmp_path / "b"), order=lambda numbers: numbers[::-1])
    assert first == second
    assert all(
        (tmp_path / "a/train" / r.file).read_bytes() == (tmp_path / "b/train" / r.file).read_bytes()
        for r in first.shards
    )


def test_a_stopped_run_goes_on_and_keeps_what_is_whole(tmp_path):
    the_plan = plan(tmp_path)
    expected = written(plan(tmp_path / "other"))

    class Stopped(Exception):
        pass

    def failing(shard: int):
        def clips():
            for number in the_plan.numbers(shard):
                if number == 4:
                    raise Stopped
                yield clip(number)

        return write_shard(the_plan.path(shard), clips(), "png", 16)

    with pytest.raises(Stopped):
        list(write_shards(the_plan, failing, map))
    assert the_plan.path(0).exists()
    assert not the_plan.path(1).exists()
    with pytest.raises(InputError) as error:
        ClipShards(tmp_path, "train")
    assert error.value.code == "shards_incomplete"
    made: list[int] = []
    assert written(the_plan, made) == expected
    assert made == [1, 2]


def test_a_shard_finished_just_before_the_stop_is_kept(tmp_path):
    the_plan, made = plan(tmp_path), []
    expected = written(the_plan)
    path = the_plan.folder / MANIFEST
    tree = json.loads(path.read_text())
    del tree["shards"][1]
    path.write_text(json.dumps(tree))
    assert written(the_plan, made) == expected
    assert made == []


def test_a_torn_shard_is_made_again(tmp_path):
    the_plan, made = plan(tmp_path), []
    expected = written(the_plan)
    torn = the_plan.path(1)
    torn.write_bytes(torn.read_bytes()[:-20000])
    assert written(the_plan, made) == expected
    assert made == [1]


@pytest.mark.parametrize("other", [{"clips": 8}, {"seed": 1}])
def test_another_config_is_refused(tmp_path, other):
    written(plan(tmp_path))
    with pytest.raises(InputError) as error:
        written(plan(tmp_path, **other))
    assert error.value.code == "manifest_differs"


def test_damage_is_told(tmp_path):
    written(plan(tmp_path))
    folder = tmp_path / "train"
    record = read_manifest(folder).shards[1]
    shard = folder / record.file
    whole = shard.read_bytes()

    def code(read) -> str:
        with pytest.raises(InputError) as error:
            read()
        return error.value.code

    shard.write_bytes(whole[:-512])
    assert code(lambda: ClipShards(tmp_path, "train")) == "shard_damaged"
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        picture = next(member for member in tar if member.name.endswith(".png"))
    flipped = bytearray(whole)
    flipped[picture.offset_data + picture.size // 2] ^= 1
    shard.write_bytes(flipped)
    assert code(lambda: ClipShards(tmp_path, "train", verify=True)) == "shard_damaged"
    assert code(lambda: list(ClipShards(tmp_path, "train").clips())) == "clip_damaged"
    shard.write_bytes(b"\0" * 100 + b"x" * (len(whole) - 100))
    assert code(lambda: ClipShards(tmp_path, "train")[4]) == "shard_damaged"
    shard.unlink()
    assert code(lambda: ClipShards(tmp_path, "train")) == "shard_missing"
    (folder / MANIFEST).write_text("{}")
    assert code(lambda: ClipShards(tmp_path, "train")) == "manifest_damaged"
    (folder / MANIFEST).unlink()
    assert code(lambda: ClipShards(tmp_path, "train")) == "manifest_missing"


def test_splits_never_mix(tmp_path):
    written(plan(tmp_path))
    (tmp_path / "train").rename(tmp_path / "test")
    with pytest.raises(InputError) as error:
        ClipShards(tmp_path, "test")
    assert error.value.code == "split"


def test_a_manifest_names_no_file_outside(tmp_path):
    written(plan(tmp_path))
    path = tmp_path / "train" / MANIFEST
    path.write_text(path.read_text().replace("shard-00001.tar", "../shard-00001.tar"))
    with pytest.raises(InputError) as error:
        ClipShards(tmp_path, "train")
    assert error.value.code == "manifest_damaged"
