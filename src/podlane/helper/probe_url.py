"""``probe-url``: whether somebody answers HTTP there. Any answer will do, also a refusal."""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

from podlane.helper import console, storage, transport
from podlane.helper.flags import Flag, Values

FLAGS = (
    Flag("url", help="the address; redirects are not followed"),
    Flag("timeout", default="15", help="seconds for everything"),
    Flag("ca-file", help="the only certificate authorities to trust (PEM)"),
    Flag("insecure", switch=True, help="trust any certificate"),
)
_DEFAULT_SECONDS = 15


def run(values: Values) -> int:
    """Ask once."""
    url = values.text("url")
    if not url:
        console.fatal("missing --url")
    seconds = values.number("timeout") or _DEFAULT_SECONDS
    server = transport.Server(url=url, token="", job_id="")
    context = _context(values) if urlsplit(url).scheme == "https" else None
    try:
        connection, target = transport.connect(server, url, seconds, context=context)
        try:
            headers = {"User-Agent": transport.user_agent(), "Connection": "close"}
            connection.request("GET", target, headers=headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        console.fatal(f"probing {storage.shown(url)}: {reason}")
    print(f"received HTTP {status}: {storage.shown(url)} is reachable")
    return 0


def _context(values: Values) -> ssl.SSLContext:
    file = values.text("ca-file")
    if values.flag("insecure"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=file or None)
    except (OSError, ssl.SSLError) as error:
        console.fatal(f"no CA certificates found in {file}: {error.strerror or error}")
