"""The proxy that the environment names for an address.

aiohttp's own `trust_env` would do this too, but it also reads `~/.netrc`: for a host that has an
entry there, or under a `default` entry, it refuses every request that carries an Authorization
header of its own. So sessions are made without it, and proxies are looked up here.
"""

import os
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from ...application.errors import InputError
from .hosts import has_host


def environment_proxy(url: URL) -> URL | None:
    """Find the proxy for `url` in HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or the system.

    May read system settings, so call it outside the event loop. Raises `InputError` for a proxy
    that cannot be used, without its URL, which may hold a password: to go around it in silence
    might break the rules of the network.
    """
    proxies = getproxies()
    kind = url.scheme if proxies.get(url.scheme) else "all"
    named = proxies.get(kind)
    host = url.host or ""
    if not named or proxy_bypass(f"{host}:{url.port}"):
        return None
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        raise InputError(f"{_source(kind)} cannot be read as a URL") from None
    if proxy.scheme not in {"http", "https"}:
        raise InputError(f"{_source(kind)} names a {proxy.scheme} proxy; http(s) ones can be used")
    if not has_host(proxy):
        raise InputError(f"{_source(kind)} names no host that can be looked up")
    return proxy


def _source(kind: str) -> str:
    """The variable that names the proxy for a kind of address, as it is written there."""
    wanted = f"{kind}_proxy"
    # Read in this order: the lower-case one counts where both are set.
    names = sorted((name for name in os.environ if name.lower() == wanted), reverse=True)
    return names[0] if names else f"the system's {kind} proxy"
