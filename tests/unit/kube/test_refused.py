from __future__ import annotations

import errno

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from podlane.kube.errors import UnreachableError
from podlane.kube.transport import translated


def test_a_refused_connection_is_told_in_plain_words() -> None:
    key = ConnectionKey("127.0.0.1", 1, True, True, None, None, None)
    refused = OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)")
    with (
        pytest.raises(UnreachableError) as caught,
        translated("cannot list pods at https://127.0.0.1:1"),
    ):
        raise aiohttp.ClientConnectorError(key, refused)
    assert caught.value.message == "cannot list pods at https://127.0.0.1:1: Connection refused"
    assert caught.value.hint
