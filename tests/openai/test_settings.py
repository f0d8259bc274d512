import pytest

from batchtrail.adapters.openai import AuthStyle, OpenAISettings


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
