import aiohttp
import pytest
from yarl import URL

from batchtrail.adapters.openai.bodies import JsonBody
from batchtrail.adapters.openai.failures import no_answer
from batchtrail.adapters.openai.proxies import environment_proxy


@pytest.mark.parametrize(
    ("error", "may_be_done"),
    [
        (aiohttp.ConnectionTimeoutError(), False),
        (aiohttp.ServerFingerprintMismatch(b"a", b"b", "h", 1), False),
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.SocketTimeoutError(), True),
        (aiohttp.ClientOSError(104, "reset"), True),
        (aiohttp.ClientPayloadError(), True),
        (TimeoutError(), True),
    ],
)
def test_only_errors_of_the_connector_come_before_sending(
    error: Exception, may_be_done: bool
) -> None:
    """A call without a body has no other mark; a delete repeated after a doubt may find a 404."""
    assert may_be_done is no_answer(error).may_be_done


def test_a_body_that_was_not_begun_was_not_sent() -> None:
    """Whatever the error says, a create call without its body is none."""
    assert not no_answer(TimeoutError(), JsonBody(b"{}")).may_be_done


def test_words_of_the_error_are_not_repeated() -> None:
    """They may hold headers or a password."""
    assert "s3cret" not in no_answer(aiohttp.ClientConnectionError("s3cret")).message


@pytest.mark.parametrize("no_proxy", ["::1", "127.0.0.1,::1"])
def test_no_proxy_takes_an_ipv6_address(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    """Without brackets, as curl takes it."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    assert environment_proxy(URL("http://[::1]:8080/v1")) == URL("http://proxy:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert environment_proxy(URL("http://[::1]:8080/v1")) is None


def test_no_proxy_takes_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """One server on a host may be reached directly and another one not."""
    monkeypatch.setenv("HTTP_PROXY", "proxy:1")
    monkeypatch.setenv("NO_PROXY", "localhost:8080")
    assert environment_proxy(URL("http://localhost:8080/v1")) is None
    assert environment_proxy(URL("http://localhost:8081/v1")) == URL("http://proxy:1")
