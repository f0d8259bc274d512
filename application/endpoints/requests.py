"""What all requests share: a body, and the line of a batch around it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import field, frozen

from . import checks
from .checks import refused


@frozen(kw_only=True)
class EndpointRequest(ABC):
    """One request to an endpoint, the same for a batch and for a synchronous call.

    A wrong argument is refused when the request is made, by a `RequestRefusedError` that names
    the field. `extra` is parameters of the endpoint that have no field here: they are sent as
    they are, and an object such as `{"reasoning": {...}}` joins what the fields make of it.
    """

    endpoint: ClassVar[str]
    extra: Mapping[str, Any] = field(factory=dict, validator=checks.mapping)

    def __attrs_post_init__(self) -> None:
        if self.extra.get("stream"):
            raise refused("extra.stream", "is true; streamed answers are not read, remove it")
        self.body()

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The parameters that the fields stand for, None for those that are not sent."""

    def body(self) -> dict[str, Any]:
        """The JSON object that is sent. Schemas in it are shared: do not change them."""
        body = {name: value for name, value in self.parameters().items() if value is not None}
        for name, value in self.extra.items():
            body[name] = _joined(name, body[name], value) if name in body else value
        return body

    def line(self, custom_id: str) -> dict[str, Any]:
        """The request as a line of a batch, which `submit` takes.

        `custom_id` names the request in its batch, and its answer afterwards.
        """
        if not isinstance(custom_id, str) or not custom_id.strip():
            raise refused("custom_id", "is blank; give every request its own custom_id")
        return {
            "custom_id": custom_id,
            "method": "POST",
            "url": self.endpoint,
            "body": self.body(),
        }


def _joined(name: str, ours: object, extra: object) -> dict[str, Any]:
    """Two objects as one; a parameter is never said twice."""
    if not isinstance(ours, dict) or not isinstance(extra, Mapping):
        raise refused(f"extra.{name}", "is set by a field of the request already; say it once")
    for part in extra:
        if part in ours:
            raise refused(f"extra.{name}.{part}", "is set by a field of the request; say it once")
    return ours | dict(extra)
