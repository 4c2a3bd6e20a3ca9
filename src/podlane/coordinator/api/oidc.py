"""Where others learn how to verify our ID tokens: OpenID Connect discovery, as a GitLab answers it."""

from __future__ import annotations

from aiohttp import web

from podlane.coordinator.dispatch import idtokens
from podlane.coordinator.dispatch.signing import Signer


class OidcApi:
    """Handlers; one instance per coordinator. Nobody needs to log in."""

    def __init__(self, signer: Signer, *, server_url: str) -> None:
        self._signer = signer
        self._url = server_url

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        return [
            web.get("/.well-known/openid-configuration", self.configuration),
            web.get("/oauth/discovery/keys", self.keys),
        ]

    async def configuration(self, _request: web.Request) -> web.Response:
        """``GET .well-known/openid-configuration``."""
        return web.json_response(
            {
                "issuer": self._url,
                "jwks_uri": f"{self._url}/oauth/discovery/keys",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "claims_supported": list(idtokens.CLAIMS),
            }
        )

    async def keys(self, _request: web.Request) -> web.Response:
        """``GET oauth/discovery/keys``: the JSON Web Key Set."""
        key = await self._signer.public_key()
        return web.json_response({"keys": [key.jwk()]})
