"""Host names that can be looked up."""

from yarl import URL


def has_host(url: URL) -> bool:
    """Whether a URL names a host that the resolver takes.

    Of an empty or a long part of a name, as in `a..b`, it makes a `UnicodeError`, which aiohttp
    lets through.
    """
    try:
        return bool(url.host and url.raw_host and url.raw_host.encode("idna"))
    except UnicodeError:
        return False
