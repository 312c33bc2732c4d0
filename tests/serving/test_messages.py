"""serving/messages.py: what is sent arrives, and nothing that is not a message passes for one."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from flashtalk.serving.messages import (
    Beat,
    BrokenMessage,
    Channel,
    Checked,
    Chunk,
    Close,
    Done,
    Failed,
    Message,
    Open,
    Restore,
    Step,
    decode,
    encode,
)

NUMBERS = st.integers(0, 2**40)
SOUND = st_np.arrays(np.float32, st.integers(0, 50), elements=st.floats(-1, 1, width=32))
FRAMES = st_np.arrays(np.uint8, st.tuples(st.integers(0, 3), st.just(2), st.just(3), st.just(3)))
MESSAGES = st.one_of(
    st.builds(Close, stream=NUMBERS),
    st.builds(Checked, stream=NUMBERS, fine=st.booleans()),
    st.builds(Done, stream=NUMBERS, fine=st.booleans()),
    st.builds(Beat, progress=NUMBERS),
    st.builds(Failed, stream=NUMBERS, epoch=NUMBERS, error=st.text(), code=st.text(), message=st.text()),
    st.builds(Step, stream=NUMBERS, epoch=NUMBERS, samples=SOUND, end=st.booleans()),
    st.builds(Restore, stream=NUMBERS, epoch=NUMBERS, snapshot=st.binary()),
    st.builds(
        Chunk,
        stream=NUMBERS,
        epoch=NUMBERS,
        index=NUMBERS,
        first_frame=NUMBERS,
        frames=FRAMES,
        samples=SOUND,
        timings=st.dictionaries(st.text(max_size=5), st.floats(0, 9)),
        snapshot=st.binary(),
        needs=NUMBERS,
    ),
)


def bare(message: Message) -> object:
    """Comparable: arrays by their bytes."""
    fields = {
        k: (v.dtype.str, v.shape, v.tobytes()) if isinstance(v, np.ndarray) else v for k, v in vars(message).items()
    }
    return type(message), fields


def joined(message: Message) -> tuple[bytes, bytearray]:
    _, header, *body = encode(message)
    return bytes(header), bytearray(b"".join(body))


@given(message=MESSAGES)
def test_what_is_sent_arrives(message: Message) -> None:
    assert bare(decode(*joined(message))) == bare(message)


@given(messages=st.lists(MESSAGES, max_size=5))
def test_messages_keep_their_order_and_their_borders(messages: list[Message]) -> None:
    ours, theirs = (Channel(end) for end in socket.socketpair())
    sender = threading.Thread(target=lambda: [ours.send(message) for message in messages] and None)
    sender.start()
    heard = [theirs.receive() for _ in messages]
    sender.join()
    assert theirs.receive(0.0) is None
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive()
    theirs.close()
    assert [bare(message) for message in heard if message] == [bare(message) for message in messages]


@given(header=st.binary(max_size=200), body=st.binary(max_size=50))
def test_noise_is_no_message(header: bytes, body: bytes) -> None:
    with pytest.raises(BrokenMessage):
        decode(header, bytearray(body))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"kind": "Step"', b'"kind": "os.system"'),
        (b'"end": true', b'"end": 1'),
        (b'"end": true', b'"end": true, "more": 2'),
        (b'"float32"', b'"object"'),
        (b"[3]", b"[-3]"),
        (b"[3]", b"[4000000000]"),
        (b"[3]", b"[9]"),
        (b'"samples"', b'"stream"'),
    ],
)
def test_a_damaged_message_is_refused(old: bytes, new: bytes) -> None:
    header, body = joined(Step(stream=1, epoch=0, samples=np.zeros(3, np.float32), end=True))
    assert old in header
    with pytest.raises(BrokenMessage):
        decode(header.replace(old, new), body)


def test_lengths_that_cannot_be_are_refused_before_they_take_memory() -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"\xff" * 12)
    with pytest.raises(BrokenMessage):
        Channel(theirs).receive()
    ours.close()
    theirs.close()


def test_arrays_can_be_used_in_place() -> None:
    sent = Open(stream=1, epoch=0, settings={}, portrait=np.zeros((5, 7, 3), np.uint8)[:, ::2], prompt="é")
    portrait = decode(*joined(sent)).portrait  # type: ignore[union-attr]
    assert portrait.flags.writeable
    assert portrait.flags.aligned
