"""References as people write them and as registries want them."""

from __future__ import annotations

import pytest

from podlane.node.images.reference import InvalidImageNameError, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3", "docker.io/library/alpine:3"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/library/alpine:latest", "docker.io/library/alpine:latest"),
        ("steveazz/noroot-alpine", "docker.io/steveazz/noroot-alpine:latest"),
        ("registry.example:5000/a/b:1.2", "registry.example:5000/a/b:1.2"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("[::1]:5000/x:y", "[::1]:5000/x:y"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
        ("gcr.io/a__b/c-d.e", "gcr.io/a__b/c-d.e:latest"),
    ],
)
def test_every_spelling_has_one_canonical_form(raw: str, canonical: str) -> None:
    assert str(parse_reference(raw)) == canonical
    assert str(parse_reference(canonical)) == canonical


@pytest.mark.parametrize(
    "raw",
    ["", ":", "a:", "a b", "-a", "a@", "a@sha256:12", "a@md5:x", "http://a/b", "a//b", "$IMAGE",
     "0" * 64, "a/../b", "reg..io/a", "x" * 300, "a:" + "t" * 129, "a\n"],
)  # fmt: skip
def test_what_is_no_reference_is_refused_in_the_words_of_a_kubelet(raw: str) -> None:
    with pytest.raises(InvalidImageNameError, match="couldn't parse image name"):
        parse_reference(raw)


def test_upper_case_is_named_as_the_reason() -> None:
    with pytest.raises(InvalidImageNameError, match="repository name must be lowercase"):
        parse_reference("library/Alpine")
