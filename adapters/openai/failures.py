"""aiohttp's exceptions in words of ours: theirs may hold headers, proxies and passwords."""

import aiohttp

from .bodies import Body
from .retry import Failure

TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)

_BEFORE_SENDING = (
    # Connection refused, name not found, TLS or proxy not reachable: aiohttp raises these only
    # from its connector, before the first byte of the request. All other errors come later, also
    # ServerDisconnectedError on a reused connection, where nobody knows what the server read.
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)


def no_answer(error: Exception, body: Body | None = None) -> Failure:
    """Describe the failure of a call whose answer did not come, or broke off."""
    is_begun = body is None or body.may_have_arrived
    return Failure(_reason(error), may_be_done=is_begun and not isinstance(error, _BEFORE_SENDING))


def _reason(error: Exception) -> str:  # noqa: C901, PLR0911 -- a table of sentences
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the host name {error.host} was not found"
        case aiohttp.ClientProxyConnectionError():
            return "the proxy cannot be reached"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy refused the connection with status {error.status}"
        case aiohttp.ClientConnectorCertificateError():
            return f"the TLS certificate of {error.host} is not trusted"
        case aiohttp.ClientSSLError():
            return f"no TLS connection to {error.host}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port} ({error.os_error.strerror})"
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time"
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
        case aiohttp.ClientResponseError():
            return "the answer is not valid HTTP"
        case _:
            return "the connection was lost"
