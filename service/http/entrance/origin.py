"""Where a request may come from: against pages of other sites that make a visitor's browser call this service.

A service without API keys trusts whoever reaches it, and on loopback that includes every page that a browser on the
same computer shows: such a page can send requests to 127.0.0.1, or give its own name this address (DNS rebinding).
"""

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from contract.errors import ForeignHost, ForeignOrigin, ServiceError
from service.http.entrance.passage import Headers


class OriginCheck:
    """Refuses requests that name a host not in `hosts`, or that a browser marks as made by a page of another site.

    Loopback addresses are always among the hosts. Ports do not matter: a page of this computer may call. So may the
    pages of `origins`, each a scheme, host and port in lower case.
    """

    def __init__(self, hosts: Collection[str], origins: Collection[str] = ()) -> None:
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._refusal = lru_cache(maxsize=256)(self._find_refusal)

    def refusal(self, headers: Headers) -> ServiceError | None:
        """`ForeignHost` or `ForeignOrigin` for such a request."""
        return self._refusal(headers.get("host", ""), headers.get("origin"), headers.get("sec-fetch-site"))

    def _find_refusal(self, host: str, origin: str | None, site: str | None) -> ServiceError | None:
        if host and not self._is_allowed(f"//{host}"):  # browsers always send one
            return ForeignHost(f"{host!r} is not a host of this service (SNN_ALLOWED_HOSTS)")
        if origin is not None and origin in self._origins:
            return None
        if site == "cross-site" or (origin is not None and not self._is_allowed(origin)):
            return ForeignOrigin("a page of another site made this request")
        return None

    def _is_allowed(self, url: str) -> bool:
        try:
            name = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return name.endswith(".localhost")
