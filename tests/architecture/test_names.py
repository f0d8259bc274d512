"""What the documentation speaks of can be imported from `batchtrail`."""

import inspect
import re
from types import ModuleType

import pytest

import batchtrail
from batchtrail.application import errors as application_errors, log_keeper, log_reader, service
from batchtrail.domain import errors as domain_errors
from batchtrail.domain.events import EVENTS

INTERNAL = {"DatabaseRefusedError", "OutOfOrderError"}
"""Nobody catches them: one is told as what it also is, the other by a bug of ours."""


def test_every_event_can_be_imported() -> None:
    """A history holds any of them."""
    assert {event.__name__ for event in EVENTS} <= set(batchtrail.__all__)


@pytest.mark.parametrize("module", [domain_errors, application_errors])
def test_every_error_can_be_imported(module: ModuleType) -> None:
    """Or nobody could catch it."""
    errors = {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert errors - set(batchtrail.__all__) <= INTERNAL


@pytest.mark.parametrize("cls", [service.BatchService, log_keeper.LogKeeper, log_reader.LogReader])
def test_what_the_methods_speak_of_can_be_imported(cls: type) -> None:
    """Their docstrings name it, and their signatures ask for it or give it."""
    told = inspect.getdoc(cls) or ""
    annotated = ""
    for name, method in vars(cls).items():
        if not name.startswith("_") and inspect.isfunction(method):
            told += inspect.getdoc(method) or ""
            annotated += str(method.__annotations__)
    classes = set(re.findall(r"`([A-Z]\w+)`", told))
    classes |= set(re.findall(r"batchtrail\.\w+\.\w+\.([A-Z]\w+)", annotated))
    assert classes <= set(batchtrail.__all__)


@pytest.mark.parametrize("name", batchtrail.__all__)
def test_every_name_is_there(name: str) -> None:
    """The list promises no other."""
    assert getattr(batchtrail, name) is not None
