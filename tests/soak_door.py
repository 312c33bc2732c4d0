"""By hand: `python -m tests.soak_door --mutations 20`: the whole corpus and its damaged copies through the door.

Prints how many came through, how many were refused by which code, the slowest, and what differs from the bare readers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flashtalk.errors import FlashTalkError
from flashtalk.media.audio import read_audio_all
from flashtalk.media.image import open_portrait
from flashtalk.serving.door import Door
from tests.media.corpus import cases


def outcome(call: Callable[[Path], np.ndarray], path: Path) -> np.ndarray | str:
    """What came, or the code of the error."""
    try:
        return call(path)
    except FlashTalkError as error:
        return error.code


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=6, help="damaged copies of each file that has some")
    door, codes, slowest, different = Door(), Counter[str](), (0.0, ""), []
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases(mutations=parser.parse_args().mutations):
            path = Path(scratch) / case.name
            path.write_bytes(case.make())
            picture = case.kind == "image"
            started_s = time.monotonic()
            given = outcome(door.picture if picture else door.sound, path)
            slowest = max(slowest, (time.monotonic() - started_s, case.name))
            wanted = outcome(open_portrait if picture else read_audio_all, path)
            codes[given if isinstance(given, str) else "ok"] += 1
            if not np.array_equal(given, wanted):
                different.append(case.name)
            path.unlink()
    print(f"{codes.total()} files: {dict(codes.most_common())}")
    print(f"slowest: {slowest[1]} in {slowest[0]:.2f} s; {door.status().words}")
    print(f"other than the bare readers: {different or 'none'}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
