"""The proxy that the environment names for an address.

aiohttp's own `trust_env` would do this too, but it also reads `~/.netrc`: for a host that has an
entry there, or under a `default` entry, it refuses every request that carries an Authorization
header of its own. So sessions are made without it, and proxies are looked up here.
"""

from urllib.request import getproxies, proxy_bypass

from yarl import URL

from .hosts import has_host


class ProxyError(ValueError):
    """The environment names a proxy that cannot be used; the text does not repeat its URL."""


def environment_proxy(url: URL) -> URL | None:
    """Find the proxy for `url` in HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or the system.

    May read system settings, so call it outside the event loop. A proxy of an unknown kind is an
    error: to go around it in silence might break the rules of the network.
    """
    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    host = url.host or ""
    if not named or proxy_bypass(f"{host}:{url.port}"):
        return None
    try:
        proxy = URL(named if "://" in named else f"http://{named}")
    except ValueError:
        raise ProxyError("the proxy in the environment cannot be read as a URL") from None
    if proxy.scheme not in {"http", "https"}:
        raise ProxyError(f"a {proxy.scheme} proxy is set in the environment; http(s) ones work")
    if not has_host(proxy):
        raise ProxyError("the proxy in the environment names no host that can be looked up")
    return proxy
