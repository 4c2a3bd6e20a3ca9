from __future__ import annotations

from random import Random

import anyio
import pytest

from podlane.executors.kubernetes.requests.retries import Retries, configured, retried
from podlane.kit.errors import PermanentError, PodlaneError, TemporaryError
from podlane.kube.errors import UnreachableError
from tests.fakes.virtual_time import Backend, virtual_time
from tests.unit.executors.kubernetes.samples import settings


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


async def tries(error: PodlaneError, retries: Retries) -> int:
    """How often a call is made that always ends with this error."""
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await retried(call, retries, Random(1))
    return calls


@pytest.mark.anyio
async def test_only_what_may_pass_is_tried_again() -> None:
    assert await tries(TemporaryError("busy"), Retries()) == 5
    assert await tries(PermanentError("no"), Retries()) == 1


@pytest.mark.anyio
async def test_the_limit_counts_the_first_try_too() -> None:
    assert await tries(TemporaryError("busy"), configured(settings(retry_limit=1))) == 1
    assert await tries(TemporaryError("busy"), configured(settings(retry_limit=7))) == 7
    assert await tries(TemporaryError("busy"), configured(settings(retry_limit=0))) == 5


@pytest.mark.anyio
async def test_a_part_of_the_text_has_a_limit_of_its_own_for_any_error() -> None:
    chosen = configured(settings(retry_limit=2, retry_limits={"exceeded quota": 4, "gone": 0}))
    assert await tries(PermanentError("pods: exceeded quota: ci"), chosen) == 4
    assert await tries(TemporaryError("gone"), chosen) == 1
    assert await tries(TemporaryError("busy"), chosen) == 2


@pytest.mark.parametrize(
    ("ours", "go"),
    [
        ("cannot create pods at https://c: no answer in time", "TLS handshake timeout"),
        ("cannot create pods at https://c: the server closed the connection", "unexpected EOF"),
        ("cannot create pods at https://c: Connection refused", "connection refused"),
        ("cannot create pods at https://c: Connection reset by peer", "connection reset by peer"),
    ],
)
def test_the_words_of_go_mean_what_our_transport_says(ours: str, go: str) -> None:
    chosen = configured(settings(retry_limits={go: 10}))
    assert chosen.tries(UnreachableError(ours)) == 10
    assert chosen.tries(UnreachableError("something else")) == 5


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("most", "seconds"), [(2000, 11.0), (0, 11.0), (1, 3.9), (500, 3.9), (4000, 18.2)]
)
async def test_pauses_double_up_to_the_configured_milliseconds(most: int, seconds: float) -> None:
    chosen = configured(settings(retry_limit=9, retry_backoff_max=most))
    started = anyio.current_time()
    await tries(TemporaryError("busy"), chosen)
    assert anyio.current_time() - started == pytest.approx(seconds, rel=0.2)


@pytest.mark.anyio
async def test_a_pause_that_the_server_asks_for_is_kept() -> None:
    started = anyio.current_time()
    await tries(TemporaryError("busy", retry_after_seconds=30), configured(settings(retry_limit=2)))
    assert anyio.current_time() - started >= 30
