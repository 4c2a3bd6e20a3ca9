from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kube.spdy import (
    DICTIONARY,
    MAX_DATA,
    Data,
    Decoder,
    Encoder,
    Event,
    GoAway,
    Opened,
    Ping,
    Replied,
    Reset,
)

GO_AWAY = bytes.fromhex("8003 0007 00000008 00000000 00000000")  # only servers of others send it


def frames() -> bytes:
    """Return one frame of each kind, as a client and a server would mix them."""
    us, them = Encoder(), Encoder()
    return b"".join(
        (
            us.open(1, {"streamtype": "error"}),
            us.open(3, {"streamtype": "stdin"}),
            us.data(3, b"hello"),
            us.data(3, b"", last=True),
            us.ping(7),
            us.reset(1),
            GO_AWAY,
        )
    ) + them.data(5, b"x" * 3, last=True)


EVENTS: list[Event] = [
    Opened(1, {"streamtype": "error"}),
    Opened(3, {"streamtype": "stdin"}),
    Data(3, b"hello"),
    Data(3, b"", last=True),
    Ping(7),
    Reset(1),
    GoAway(),
    Data(5, b"xxx", last=True),
]


def test_what_one_end_makes_the_other_reads() -> None:
    assert Decoder().feed(frames()) == EVENTS


def test_the_dictionary_is_the_one_of_the_standard() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@given(st.lists(st.integers(0, 160), max_size=12))
def test_it_does_not_matter_how_the_bytes_arrive(cuts: list[int]) -> None:
    whole, decoder, events = frames(), Decoder(), []
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    for start, end in pairwise(places):
        events += decoder.feed(whole[start:end])
    data: dict[int, bytes] = {}
    ended = []
    for event in events:
        if isinstance(event, Data):
            data[event.stream] = data.get(event.stream, b"") + event.data
            ended += [event.stream] if event.last else []
    assert data == {3: b"hello", 5: b"xxx"}
    assert ended == [3, 5]
    assert [e for e in events if not isinstance(e, Data)] == [
        e for e in EVENTS if not isinstance(e, Data)
    ]


def test_a_long_frame_is_given_as_it_comes() -> None:
    decoder = Decoder()
    frame = Encoder().data(3, b"y" * MAX_DATA)
    assert decoder.feed(frame[:1000]) == [Data(3, b"y" * 992)]
    assert decoder.feed(frame[1000:]) == [Data(3, b"y" * (MAX_DATA - 992))]


def test_replies_are_read_too() -> None:
    server = Encoder()
    assert Decoder().feed(server.reply(1) + server.reply(3)) == [Replied(1), Replied(3)]


# What moby/spdystream, the client of client-go, writes for an error and a stdin stream.
RECORDED = bytes.fromhex(
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a68000000"
    "00ffff800300010000001700000003000000000000c22e555c92929907000000ffff00000003000000036c730a00"
    "00000301000000"
)


def test_the_frames_of_gos_client_are_read() -> None:
    assert Decoder().feed(RECORDED) == [
        Opened(1, {"streamtype": "error"}),
        Opened(3, {"streamtype": "stdin"}),
        Data(3, b"ls\n"),
        Data(3, b"", last=True),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01",
        b"\x80\x03\x00\x01\x00\x00\x00\x0e" + bytes(10) + b"\xff\xff\xff\xff",
        b"\x80\x03\x00\x01\x00\xff\xff\xff",
        b"\x80\x03\x00\x06\x00\x00\x00\x00",
    ],
    ids=["version", "compression", "length", "empty"],
)
def test_what_is_no_spdy_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|headers"):
        Decoder().feed(raw)


@given(st.binary(max_size=80))
def test_garbage_is_a_value_error_and_nothing_else(raw: bytes) -> None:
    for body in (raw, b"\x80\x03\x00\x01\x00\x00\x00" + bytes((len(raw),)) + raw):
        try:
            Decoder().feed(body)
        except ValueError:
            continue
