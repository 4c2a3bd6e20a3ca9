import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podlane.model.masking import Masker


def masked(chunks: list[bytes], masker: Masker) -> bytes:
    return b"".join(masker.feed(chunk) for chunk in chunks) + masker.flush()


def through(text: str, *, phrases: tuple[str, ...] = (), prefixes: tuple[str, ...] = ()) -> str:
    chunks = [part.encode() for part in text.split("|")]
    return masked(chunks, Masker(phrases, token_prefixes=prefixes)).decode()


@pytest.mark.parametrize(
    ("phrases", "text", "expected"),
    [
        (("",), "empty secrets have no affect", "empty secrets have no affect"),
        (("secrets",), "secret|s", "[MASKED]"),
        (("secrets",), "secretssecrets", "[MASKED][MASKED]"),
        (("secrets",), "ssecrets", "s[MASKED]"),
        (("secrets",), "s|secrets", "s[MASKED]"),
        (
            ("foo", "bar"),
            "xfoox ybary ffoo barr ffooo bbarr",
            "x[MASKED]x y[MASKED]y f[MASKED] [MASKED]r f[MASKED]o b[MASKED]r",
        ),
        (
            ("mask", "prefix_mask"),
            "prefix_mask mask prefix_|mask prefix_ma|sk mas|k",
            "[MASKED] [MASKED] [MASKED] [MASKED] [MASKED]",
        ),
        (
            ("this is the end", "en foobar", "en"),
            "overlap: this is the en| foobar",
            "overlap: this is the [MASKED]",
        ),
        (
            ("_" * 16000,),
            "large secret: " + "_" * 8000 + "|" + "_" * 8000,
            "large secret: [MASKED]",
        ),
    ],
)
def test_phrases_are_masked_as_gitlab_does(
    phrases: tuple[str, ...], text: str, expected: str
) -> None:
    assert through(text, phrases=phrases) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://example.org/?test=foobar", "http://example.org/?test=foobar"),
        ("?private_token=deadbeef tail", "?private_token=[MASKED] tail"),
        ("?X-AMZ-sigNATure=deadbeef x", "?X-AMZ-sigNATure=[MASKED] x"),
        (
            "?rss_token=hide&x-amz-credential=deadbeef both",
            "?rss_token=[MASKED]&x-amz-credential=[MASKED] both",
        ),
        (
            "rss_token=notmasked http://x/?rss_token=!@#$A&x-amz-credential=abc&test=test",
            "rss_token=notmasked http://x/?rss_token=[MASKED]&x-amz-credential=[MASKED]&test=test",
        ),
        (
            "?x-amz-credential=&private_token=gitlab",
            "?x-amz-credential=[MASKED]&private_token=[MASKED]",
        ),
        (
            "?x-amz-credential=abc&&private_token=g",
            "?x-amz-credential=[MASKED]&&private_token=[MASKED]",
        ),
        ("http://x/?x-amz-cred|ential=abcdefghij|klm", "http://x/?x-amz-credential=[MASKED]"),
        ("?x-amz-credential=abc\bhttp", "?x-amz-credential=[MASKED]\bhttp"),
        ("terminated: ?x-|", "terminated: ?x-"),
        ("?x-amz-credential=|", "?x-amz-credential=[MASKED]"),
        (
            "?this-is-a-really-really-long-key-name=foobar",
            "?this-is-a-really-really-long-key-name=foobar",
        ),
    ],
)
def test_url_parameters_are_masked_as_gitlab_does(text: str, expected: str) -> None:
    assert through(text) == expected


@pytest.mark.parametrize(
    ("prefixes", "text", "expected"),
    [
        ((), "ex glpat-imperdiet in", "ex glpat-[MASKED] in"),
        ((), "esseglpat-imperdiet=_-. end", "esseglpat-[MASKED] end"),
        ((), "glpat-impglpat-erdiet Lorem", "glpat-[MASKED] Lorem"),
        ((), "gl|pat-imperdiet in", "glpat-[MASKED] in"),
        ((), "glpat|-imp|erdiet in", "glpat-[MASKED] in"),
        ((), "glpat| -imperdiet", "glpat -imperdiet"),
        ((), "Lorglpat- ipsu", "Lorglpat- ipsu"),
        (("tok-",), "gltok-test", "gltok-[MASKED]"),
        (("tok-",), "amt|ok-t,", "amtok-[MASKED],"),
        (
            tuple(f"mask{n}-" for n in range(1, 12)),
            "mask1-a mask2-a mask5-a mask7-a mask9-a mask10-a mask11-a",
            "mask1-[MASKED] mask2-[MASKED] mask5-[MASKED] mask7-a mask9-a mask10-a mask11-a",
        ),
        (("mytoken:",), "glpat-mytoken:secret", "glpat-[MASKED]:secret"),
        (("mytoken:",), "glpat-x mytoken:secret", "glpat-[MASKED] mytoken:[MASKED]"),
    ],
)
def test_tokens_are_masked_by_prefix(prefixes: tuple[str, ...], text: str, expected: str) -> None:
    assert through(text, prefixes=prefixes) == expected


def test_a_line_is_not_held_back_when_no_secret_holds_a_newline() -> None:
    masker = Masker(["secret", "$ec"])
    assert masker.feed(b"a line ending like sec\n") == b"a line ending like sec\n"


def test_only_what_can_be_the_beginning_of_a_secret_is_held_back() -> None:
    masker = Masker(["secret"])
    assert masker.feed(b"password: sec") == b"password: "
    assert masker.feed(b"ond") == b"second"


def cut(text: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(c % (len(text) + 1) for c in cuts), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(
    phrases=st.lists(st.text("ab \n", min_size=1, max_size=6), max_size=5),
    text=st.text("ab \n", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_any_chunking_masks_the_same_and_no_phrase_survives(
    phrases: list[str], text: str, cuts: list[int]
) -> None:
    data = text.encode()
    whole = masked([data], Masker(phrases))
    assert masked(cut(data, cuts), Masker(phrases)) == whole
    assert not any(p.strip().encode() in whole for p in phrases if p.strip())


_PIECES = st.sampled_from(
    ["?", "&", "private_token=", "x-amz-", "signature=", "glpat-", "gl", "tok-", "a-b-", "a-", "v",
     " ", ":", "\n"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    text=st.lists(_PIECES, max_size=20).map("".join), cuts=st.lists(st.integers(0, 200), max_size=8)
)
def test_any_chunking_masks_markers_the_same(text: str, cuts: list[int]) -> None:
    data = text.encode()
    prefixes = ("tok-", "a-", "a-b-", "b-:")
    whole = masked([data], Masker(["v:"], token_prefixes=prefixes))
    assert masked(cut(data, cuts), Masker(["v:"], token_prefixes=prefixes)) == whole


_LONG = ["ab" * 40 + "c", "ab" * 35, "-----BEGIN KEY-----\n" + "x" * 90, "a"]


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from(["ab" * 34, "ab", "c", "-----BEGIN KEY-----\n", "x" * 45, "b", "\n"]),
        max_size=10,
    ),
    phrases=st.lists(st.sampled_from(_LONG), max_size=4),
    cuts=st.lists(st.integers(0, 500), max_size=8),
)
def test_any_chunking_masks_long_phrases_the_same(
    parts: list[str], phrases: list[str], cuts: list[int]
) -> None:
    data = "".join(parts).encode()
    whole = masked([data], Masker(phrases))
    assert masked(cut(data, cuts), Masker(phrases)) == whole
    assert not any(p.strip().encode() in whole for p in phrases)


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(_PIECES, max_size=20).map("".join), cuts=st.lists(st.integers(0, 200), max_size=8)
)
def test_another_masker_goes_on_after_any_chunk(text: str, cuts: list[int]) -> None:
    data = text.encode()
    prefixes = ("tok-", "a-", "a-b-", "b-:")
    whole = masked([data], Masker(["v:"], token_prefixes=prefixes))
    masker, out = Masker(["v:"], token_prefixes=prefixes), b""
    for chunk in cut(data, cuts):
        out += masker.feed(chunk)
        held, masker = masker.held, Masker(["v:"], token_prefixes=prefixes)
        masker.resume(held)
    assert out + masker.flush() == whole
