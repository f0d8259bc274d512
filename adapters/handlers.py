"""Completion handlers from importable modules, of the packages that a setting allows."""

from collections.abc import Sequence
from importlib import import_module

from ..application.errors import HandlerNotAllowedError, HandlerUnavailableError, problem_text


class ImportedHandlers:
    """Imports `package.module:Name`, only when `allowed` names the package.

    A name that is allowed stands for itself and all below it: `shop` allows `shop.batches:Done`.
    The reference comes from the database, and a database must not decide what code runs.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = tuple(allowed)

    def load(self, reference: str) -> object:
        """The class or object of that name.

        Raises `HandlerNotAllowedError`, and `HandlerUnavailableError` when it is not there.
        """
        module, _, name = reference.partition(":")
        if not any(module == each or module.startswith(f"{each}.") for each in self._allowed):
            raise HandlerNotAllowedError(
                f"the completion handler {reference} is not allowed here; "
                f"name its package in BATCHTRAIL_HANDLERS, for example {module.partition('.')[0]}"
            )
        try:
            found: object = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except KeyboardInterrupt:  # the user's, as imports run on the main thread
            raise
        except BaseException as error:  # a module may leave at its import, or panic
            raise HandlerUnavailableError(
                f"the completion handler {reference} cannot be imported: {problem_text(error)}"
            ) from error
        return found
