import pytest

from batchtrail.adapters.openai import AuthStyle, Dialect, OpenAISettings


@pytest.mark.parametrize(
    ("given", "normalised"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        (" HTTPS://API.OpenAI.com:443/v1// ", "https://api.openai.com/v1"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080/openai/v1/", "http://[::1]:8080/openai/v1"),
    ],
)
def test_one_server_has_one_name(given: str, normalised: str) -> None:
    """The name is part of a batch's identity, so spellings of one URL must meet."""
    assert f"openai:{normalised}" == OpenAISettings(api_key="k", base_url=given).name


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("ftp://host/v1", "http"),
        ("api.openai.com/v1", "http"),
        ("https://", "host"),
        ("https:///v1", "host"),
        ("https://.openai.azure.com/openai/v1", "names no host"),
        ("http://a..b", "looked up"),
        (f"http://{'a' * 64}.example.org/v1", "looked up"),
        ("http://xn--a/v1", "looked up"),
        ("https://user@host/v1", "user name"),
        ("https://:s3cret@host/v1", "password"),
        ("https://host/v1?api-version=s3cret", "setting of its own"),
        ("https://host/v1?", "setting of its own"),
        ("https://host/v1#s3cret", "setting of its own"),
        ("https://host:99999/v1", "cannot be read"),
        ("https://host:s3cret/v1", "cannot be read"),
    ],
)
def test_a_wrong_base_url_is_refused_clearly(base_url: str, reason: str) -> None:
    """The message says what is wrong and repeats no part that may be secret."""
    with pytest.raises(ValueError, match=reason) as caught:
        OpenAISettings(api_key="k", base_url=base_url)
    assert "s3cret" not in str(caught.value)


def test_the_key_shows_in_no_repr() -> None:
    """Settings end up in logs and debuggers."""
    assert "sk-secret" not in repr(OpenAISettings(api_key="sk-secret"))


@pytest.mark.parametrize("api_key", ["", "  ", "sk-a\r\nX-Evil: 1", "sk-ä", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused(api_key: str) -> None:
    """It fails at the start and not in the middle of a submission, without showing the key."""
    with pytest.raises(ValueError, match="api_key") as caught:
        OpenAISettings(api_key=api_key)
    assert not api_key.strip() or api_key not in str(caught.value)


def test_blanks_around_a_key_are_dropped() -> None:
    """Keys are read from files that end in a newline."""
    assert OpenAISettings(api_key="sk-1\n").credentials() == {"Authorization": "Bearer sk-1"}


def test_azure_gets_the_key_in_its_own_header() -> None:
    """With `api-key` there must be no Authorization header, which Azure would prefer."""
    settings = OpenAISettings(api_key="k", auth=AuthStyle.API_KEY, project="  ")
    assert settings.credentials() == {"api-key": "k"}


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"create_timeout": 0.0}, {"auth": "basic"}])
def test_numbers_and_styles_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """No attempt at all, or no time for one, would look like a broken network."""
    with pytest.raises(ValueError, match=r"."):
        OpenAISettings(api_key="k", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base_url", "dialect"),
    [
        ("https://res.openai.azure.com/openai/v1/", Dialect.AZURE),
        ("https://RES.Services.AI.Azure.com/openai/v1", Dialect.AZURE),
        ("https://res.cognitiveservices.azure.com/openai/v1", Dialect.AZURE),
        ("https://api.openai.com/v1", Dialect.OPENAI),
        ("https://openai.azure.com.example.org/v1", Dialect.OPENAI),
        ("https://notopenai.azure.com/v1", Dialect.OPENAI),
        ("https://gateway.example.org/openai/v1", Dialect.OPENAI),
    ],
)
def test_azure_is_told_by_its_host(base_url: str, dialect: Dialect) -> None:
    """And its key then goes into its own header, unless the settings say otherwise."""
    settings = OpenAISettings(api_key="k", base_url=base_url)
    assert settings.spoken is dialect
    names = {Dialect.AZURE: {"api-key"}, Dialect.OPENAI: {"Authorization"}}
    assert settings.credentials().keys() == names[dialect]


def test_the_dialect_and_the_header_can_be_chosen() -> None:
    """A gateway has a host of its own, and Entra tokens are bearer tokens."""
    gateway = OpenAISettings(api_key="k", base_url="https://g.example.org/v1", dialect="azure")
    assert gateway.credentials() == {"api-key": "k"}
    plain = OpenAISettings(
        api_key="k", base_url="https://r.openai.azure.com/openai/v1", dialect="openai"
    )
    assert plain.credentials() == {"Authorization": "Bearer k"}
    token = OpenAISettings(
        api_key="k", base_url="https://r.openai.azure.com/openai/v1", auth="bearer"
    )
    assert (token.spoken, token.credentials()) == (Dialect.AZURE, {"Authorization": "Bearer k"})


@pytest.mark.parametrize(
    ("path", "api_version", "reason"),
    [
        ("", None, "must end with /openai/v1"),
        ("/", "2024-10-21", "must end with /openai/v1"),
        ("/openai", None, "needs an API version"),
        ("/openai", "2024-10-21", None),
        ("/openai/v1", None, None),
        ("/openai/v1", "preview", None),
    ],
)
def test_an_azure_address_that_cannot_be(
    path: str, api_version: str | None, reason: str | None
) -> None:
    """Azure answers a bare 404 there, which tells nobody what to do."""
    url = f"https://res.openai.azure.com{path}"
    if reason is None:
        settings = OpenAISettings(api_key="k", base_url=url, api_version=api_version)
        assert settings.url("batches").query.get("api-version") == api_version
        return
    with pytest.raises(ValueError, match=reason):
        OpenAISettings(api_key="k", base_url=url, api_version=api_version)


def test_limits_follow_the_dialect() -> None:
    """Azure takes twice as many requests, and endpoints with or without `/v1`."""
    url = "https://res.openai.azure.com/openai/v1"
    azure = OpenAISettings(api_key="k", base_url=url).limits
    openai = OpenAISettings(api_key="k").limits
    assert (azure.max_requests, openai.max_requests) == (100_000, 50_000)
    assert azure.max_bytes == openai.max_bytes
    assert {"/chat/completions", "/v1/chat/completions"} <= azure.endpoints
    assert "/chat/completions" not in openai.endpoints
    assert azure.endpoints_without_model == {"/moderations", "/v1/moderations"}


@pytest.mark.parametrize(
    ("base_url", "readable"),
    [
        ("https://api.openai.com/v1", False),
        ("http://127.0.0.1:8080/v1", False),
        ("http://127.9.9.9/v1", False),
        ("http://[::1]:8080/v1", False),
        ("http://localhost/v1", False),
        ("http://api.localhost/v1", False),
        ("http://10.0.0.7:8080/v1", True),
        ("http://localhost.example.com/v1", True),
        ("http://gateway/v1", True),
    ],
)
def test_a_key_that_others_can_read(base_url: str, *, readable: bool) -> None:
    """Plain HTTP to another machine; on this one nobody listens on the way."""
    assert OpenAISettings(api_key="k", base_url=base_url).is_unencrypted is readable
