"""Settings, loaded or made: what cannot be is refused in either way, and what can be is kept."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from batchtrail import InputError, Settings, open_trail
from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.application.lifecycle import ServiceSettings
from batchtrail.application.service import BatchService
from batchtrail.bootstrap import service_settings
from batchtrail.settings import is_postgresql

NO_FILE = Path("there/is/none")
KEY = bytes(range(32))

BOTH: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"poll_schedule": (0.0,)}, {"BATCHTRAIL_POLL_SCHEDULE": "0"}),
    ({"poll_schedule": (60.0, -1.0)}, {"BATCHTRAIL_POLL_SCHEDULE": "60,-1"}),
    ({"poll_schedule": (float("nan"),)}, {"BATCHTRAIL_POLL_SCHEDULE": "nan"}),
    ({"poll_schedule": (4e7,)}, {"BATCHTRAIL_POLL_SCHEDULE": "4e7"}),
    ({"reconcile_wait": -1.0}, {"BATCHTRAIL_RECONCILE_WAIT": "-1"}),
    ({"max_age": -1.0}, {"BATCHTRAIL_MAX_AGE": "-1"}),
    ({"max_age": 0.0}, {"BATCHTRAIL_MAX_AGE": "0"}),
    ({"lease": -5.0}, {"BATCHTRAIL_LEASE": "-5"}),
    ({"lease": 0}, {"BATCHTRAIL_LEASE": "0"}),
    ({"lease": float("inf")}, {"BATCHTRAIL_LEASE": "inf"}),
    ({"auth": "basic"}, {"BATCHTRAIL_AUTH": "basic"}),
    ({"dialect": "Azure"}, {"BATCHTRAIL_DIALECT": "Azure"}),
    ({"compression": "gzip"}, {"BATCHTRAIL_COMPRESSION": "gzip"}),
    ({"handlers": ("no-package",)}, {"BATCHTRAIL_HANDLERS": "no-package"}),
    ({"encryption_keys": {"a b": KEY}}, {"BATCHTRAIL_ENCRYPTION_KEYS": "a b:AAAA"}),
    ({"encryption_keys": {"a" * 33: KEY}}, {"BATCHTRAIL_ENCRYPTION_KEYS": "a" * 33 + ":AAAA"}),
    ({"encryption_keys": {"a": b"hidden"}}, {"BATCHTRAIL_ENCRYPTION_KEYS": "a:hidden"}),
]


@pytest.mark.parametrize(("made", "loaded"), BOTH)
def test_what_cannot_be(made: dict[str, Any], loaded: dict[str, str]) -> None:
    """Made or loaded, the same is refused, by the name that it has there; and no key is told."""
    (name,), (variable,) = made, loaded
    with pytest.raises(InputError, match=f"^{name}") as by_hand:
        Settings(**made)
    with pytest.raises(InputError, match=f"^{variable}") as by_text:
        Settings.load(environ=loaded, env_file=NO_FILE)
    assert "hidden" not in f"{by_hand.value}{by_text.value}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("BATCHTRAIL_ENCRYPTION_KEY", "; did you mean BATCHTRAIL_ENCRYPTION_KEYS?"),
        ("BATCHTRAIL_BASE_URL", "; did you mean OPENAI_BASE_URL?"),
        ("BATCHTRAIL_API_KEY", "; did you mean OPENAI_API_KEY?"),
        ("BATCHTRAIL_COMPRESION", "; did you mean BATCHTRAIL_COMPRESSION?"),
        ("BATCHTRAIL_DB_URL", "; unset it, or write one of those that `batchtrail --help` lists"),
        ("BATCHTRAIL_", "; unset it, or write one of those that `batchtrail --help` lists"),
        ("BATCHTRAIL_WEATHER", "; unset it, or write one of those that `batchtrail --help` lists"),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_misspelt_name(name: str, words: str, place: str, tmp_path: Path) -> None:
    """Is refused, wherever it stands, and what it holds is not told: it may be a key."""
    file, environ = tmp_path / ".env", {name: "hidden"}
    if place == "file":
        file.write_text(f"{name}=hidden\n")
        environ.clear()
    with pytest.raises(InputError) as refused:
        Settings.load(environ=environ, env_file=file)
    assert str(refused.value) == f"{name} is no setting{words}"


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ("OPENAI_BASE_URL http://hidden\n", 1),
        ("OPENAI_API_KEY=a\r\n\r\n# of ours\r\n\r\n  BATCHTRAIL_DB is hidden\r\n", 5),
        ("A='several\nlines'\nset OPENAI_API_KEY hidden\nis it", 3),
    ],
)
def test_a_line_that_is_no_setting(
    lines: str, number: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Is refused by its number: what was meant would not hold, and it may be a key."""
    file = tmp_path / ".env"
    file.write_bytes(lines.encode())
    with pytest.raises(InputError) as refused:
        Settings.load(environ={}, env_file=file)
    told = f"{file}: line {number} is no NAME=VALUE; mend it, or begin it with #"
    assert (str(refused.value), caplog.messages) == (told, [])


def test_lines_for_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a shell or another tool reads keeps nobody from what is ours."""
    file = tmp_path / ".env"
    file.write_text('set -a\n[my app]\nA="$HOME"/x\nOPENAI_API_KEY=a\n// word word\nsource x y\n')
    assert Settings.load(environ={}, env_file=file) == Settings(api_key="a")
    assert caplog.messages == []


def test_other_names() -> None:
    """Nor is one refused that is read elsewhere, says nothing, or that Kubernetes sets."""
    environ = {
        "BATCHTRAIL_DEBUG": "1",
        "BATCHTRAIL_WEATHER": " ",
        "MY_BATCHTRAIL_DB": "x",
        "BATCHTRAIL_SERVICE_HOST": "10.0.0.11",
        "BATCHTRAIL_SERVICE_PORT": "8080",
        "BATCHTRAIL_SERVICE_PORT_HTTP": "8080",
        "BATCHTRAIL_PORT": "tcp://10.0.0.11:8080",
        "BATCHTRAIL_PORT_8080_TCP": "tcp://10.0.0.11:8080",
        "BATCHTRAIL_DB_PORT_5432_TCP_ADDR": "10.0.0.12",
    }
    assert Settings.load(environ=environ, env_file=NO_FILE) == Settings()


@pytest.mark.parametrize(
    "wrong",
    [
        {"database": Path("batches.db")},
        {"database": None},
        {"api_key": 5},
        {"base_url": 5},
        {"api_version": 2024},
        {"poll_schedule": 60.0},
        {"poll_schedule": "60"},
        {"poll_schedule": ()},
        {"poll_schedule": ("60",)},
        {"max_age": "60"},
        {"lease": True},
        {"handlers": "shop"},
        {"handlers": (5,)},
        {"prices": "prices.toml"},
        {"compression": None},
        {"dialect": None},
        {"encryption_keys": "a:hidden"},
        {"encryption_keys": {5: KEY}},
        {"encryption_keys": {"a": "hidden"}},
    ],
)
def test_a_wrong_type(wrong: dict[str, Any]) -> None:
    """As can happen only by hand."""
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name}") as refused:
        Settings(**wrong)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"poll_schedule": ()},
        {"poll_schedule": 60.0},
        {"poll_schedule": ("60",)},
        {"poll_schedule": [60.0, 0.0]},
        {"poll_schedule": (-1.0,)},
        {"poll_schedule": None},
        {"reconcile_wait": "120"},
        {"reconcile_wait": -1.0},
        {"create_timeout": 0.0},
        {"create_timeout": None},
        {"max_age": 0},
        {"max_age": float("nan")},
        {"max_age": timedelta(hours=26)},
        {"lease": True},
        {"lease": 4e7},
    ],
)
def test_settings_of_a_service_that_cannot_be(wrong: dict[str, Any]) -> None:
    """Whoever makes a service has them refused as early, and by their names."""
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name} is ") as refused:
        ServiceSettings(**wrong)
    assert "\n" not in str(refused.value)


async def test_settings_of_another_kind() -> None:
    """A service has its own, and `open_trail` those of a whole run."""
    wrong: Any = ServiceSettings()
    with pytest.raises(InputError, match=r"^settings is of the type ServiceSettings"):
        async with open_trail("sqlite:///:memory:", settings=wrong):
            pass
    other: Any = Settings()
    async with open_trail("sqlite:///:memory:", provider=FakeBatchProvider()) as trail:
        with pytest.raises(InputError, match=r"^settings is of the type Settings; give Service"):
            BatchService(trail._runtime, FakeBatchProvider(), other)


def test_settings_of_a_service_are_kept() -> None:
    """A list is taken as it is now; no wait at all is one."""
    schedule: Any = [1, 2.5]
    settings = ServiceSettings(schedule, reconcile_wait=0)
    schedule.clear()
    assert (settings.poll_schedule, settings.reconcile_wait) == ((1, 2.5), 0)


def test_what_is_right_is_kept() -> None:
    """Whole numbers are seconds too, a list is a tuple, and both ways come to the same."""
    by_hand = Settings(
        database="sqlite:///a.db",
        poll_schedule=[1, 2.5],
        reconcile_wait=0,
        max_age=60,
        lease=0.5,
        handlers=["shop", "billing.batches"],
        compression="zstd",
        encryption_keys={"new": KEY},
        auth="api-key",
        prices=Path("prices.toml"),
    )
    environ = {
        "BATCHTRAIL_DB": "sqlite:///a.db",
        "BATCHTRAIL_POLL_SCHEDULE": "1, 2.5",
        "BATCHTRAIL_RECONCILE_WAIT": "0",
        "BATCHTRAIL_MAX_AGE": "60",
        "BATCHTRAIL_LEASE": "0.5",
        "BATCHTRAIL_HANDLERS": "shop, billing.batches",
        "BATCHTRAIL_COMPRESSION": "zstd",
        "BATCHTRAIL_ENCRYPTION_KEYS": f"new:{base64.b64encode(KEY).decode()}",
        "BATCHTRAIL_AUTH": "api-key",
        "BATCHTRAIL_PRICES": "prices.toml",
    }
    assert by_hand == Settings.load(environ=environ, env_file=NO_FILE)
    assert by_hand.poll_schedule == (1, 2.5)


def test_what_the_service_gets() -> None:
    """Each of its settings, and its own values for those that are not set."""
    settings = Settings(poll_schedule=(1, 2.5), reconcile_wait=30, max_age=90, lease=9)
    given = ServiceSettings((1, 2.5), reconcile_wait=30, create_timeout=30, max_age=90, lease=9)
    assert service_settings(settings) == given
    assert service_settings(Settings()) == ServiceSettings()


@pytest.mark.parametrize(("wait", "timeout"), [(0, 1.0), (1.5, 1.5), (60, 60.0), (600, 60.0)])
def test_how_long_a_create_call_is_waited_for(wait: float, timeout: float) -> None:
    """As long as its batch would be searched for, within a second and a minute."""
    assert service_settings(Settings(reconcile_wait=wait)).create_timeout == timeout


class NoPrices:
    """A price book of the caller's own."""

    source = "none of them"

    def price(self, model: str | None, endpoint: str) -> None:
        del model, endpoint


async def test_prices_of_the_callers_own() -> None:
    """They take the place of all others, and of the file that the settings name."""
    settings = Settings(prices=Path("missing.toml"))
    request = {"custom_id": "a", "method": "POST", "url": "/v1/responses"}
    body = {"model": "gpt-5-nano", "input": "Hello."}
    async with open_trail(
        "sqlite:///:memory:", provider=FakeBatchProvider(), settings=settings, prices=NoPrices()
    ) as trail:
        found = await trail.estimate([{**request, "body": body}])
    assert found.price_source == "none of them"


def test_keys_of_the_callers_own_may_change() -> None:
    """The settings have those that they were given."""
    keys = {"a": KEY}
    settings = Settings(encryption_keys=keys)
    keys["b"] = b"short"
    assert settings.encryption_keys == {"a": KEY}


async def test_a_database_that_is_no_url() -> None:
    """A path is not taken for one."""
    with pytest.raises(InputError, match="the database URL is of the type"):
        async with open_trail(
            Path("batches.db"),  # type: ignore[arg-type]
            provider=FakeBatchProvider(),
            settings=Settings(),
        ):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:/ada:hidden@db.example/batches",
        "postgresql//ada:hidden@db/batches",
        "postgresql:ada:hidden",
        "mysql://ada:hidden@db/batches",
        "host=db password=hidden",
        "hidden",
        "sqlite://ada:hidden@db",
        "sqlite:/hidden",
        "sqlite:///trail.db?key=hidden",
    ],
)
async def test_a_database_url_that_is_not_understood(url: str) -> None:
    """No part of it is told: each may be of a password."""
    with pytest.raises(InputError, match="the database URL") as refused:
        async with open_trail(url, provider=FakeBatchProvider()):
            raise AssertionError
    assert "hidden" not in f"{refused.value}{Settings(database=url)!r}"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_both_names_of_a_postgresql_server(scheme: str) -> None:
    """As its own tools take them."""
    assert is_postgresql(f"{scheme}://db/batches")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///trail.db", "sqlite:///trail.db"),
        ("postgresql://db.example/batches", "postgresql://db.example/batches"),
        ("postgres://ada:hidden@db:5432/batches", "postgres://db:5432/batches"),
        ("postgresql://ada@db/batches?password=hidden", "postgresql://db/batches"),
        ("postgresql://ada:hidden", "…"),
        ("postgresql://ada:1/hidden@db/batches", "…"),
        ("postgresql://ada:1?hidden@db/batches", "…"),
        ("postgresql://db/batches?password=1&host=ada@hidden", "…"),
    ],
)
def test_what_a_repr_shows(url: str, shown: str) -> None:
    """Where the database is, if that can be told from a password."""
    assert f"database={shown!r}" in repr(Settings(database=url))


def test_a_password_in_the_base_url() -> None:
    """It is refused when it is used, and not told before."""
    assert "hidden" not in repr(Settings(base_url="https://me:hidden@host/v1"))
