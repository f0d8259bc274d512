"""What the documentation speaks of can be imported from `batchtrail`."""

import importlib
import inspect
import pkgutil
import re
from types import ModuleType

import pytest

import batchtrail
from batchtrail import application, domain
from batchtrail.application import errors as application_errors, log_keeper, log_reader, service
from batchtrail.domain import errors as domain_errors
from batchtrail.domain.events import EVENTS

INTERNAL = {
    "DatabaseMovedError",
    "DatabaseRefusedError",
    "FileNotReadyError",
    "NoDatabaseError",
    "OutOfOrderError",
}
"""Nobody catches them: most are told as what they also are, the last by a bug of ours."""

UNSPOKEN = {"Batch", "Runtime"}
"""Of our side only: events are applied to it, and `open_trail` makes the other."""


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


def _classes() -> dict[str, type]:
    """Every class of the domain and the application, by its name."""
    found: dict[str, type] = {}
    for package in (application, domain):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            members = vars(importlib.import_module(module.name)).values()
            found |= {each.__name__: each for each in members if isinstance(each, type)}
    return {name: cls for name, cls in found.items() if cls.__module__.startswith("batchtrail.")}


def _annotated(cls: type) -> str:
    """The types of its fields, and what its methods take and give, as they are written."""
    written = [str(inspect.get_annotations(cls))]
    for name, member in vars(cls).items():
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and not name.startswith("_"):
            written.append(str(function.__annotations__))
    return " ".join(written)


@pytest.mark.parametrize("name", sorted(_classes().keys() & set(batchtrail.__all__)))
def test_what_a_public_class_holds_can_be_imported(name: str) -> None:
    """Whoever annotates a variable, or writes an adapter, needs the types of all of it."""
    classes = _classes()
    named = set(re.findall(r"\b[A-Z]\w+\b", _annotated(classes[name])))
    assert named & classes.keys() <= {*batchtrail.__all__, *UNSPOKEN}


@pytest.mark.parametrize("name", batchtrail.__all__)
def test_every_name_is_there(name: str) -> None:
    """The list promises no other."""
    assert getattr(batchtrail, name) is not None
