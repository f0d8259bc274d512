"""What the two endpoints for conversations have in common."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from . import checks
from .models import ModelSettings, are_settings, model_settings
from .outputs import JsonMode, output_of
from .requests import EndpointRequest
from .schemas import Schema
from .tools import Tool, ToolChoice, forced_name, tools_of


@frozen(kw_only=True)
class TextRequest(EndpointRequest):
    """A request for a text, a structured value or tool calls.

    `instructions` is the system prompt. `temperature` (0 to 2) is left out where the model takes
    none. `reasoning_effort` is the provider's word, such as `low`. `tools` are functions, or
    mappings for tools of the endpoint's own; `tool_choice` is `auto`, `none`, `required`, or the
    tool that must be called. `output` is `json`, a JSON schema as a dict, or a class (attrs,
    dataclass, msgspec, pydantic). `settings` replaces what is known of the model, for names
    that say nothing, such as those of Azure deployments.
    """

    model: str = field(validator=checks.given)
    instructions: str | None = field(default=None, validator=checks.given_or_none)
    max_output_tokens: int | None = field(default=None, validator=checks.positive)
    temperature: float | None = field(default=None, validator=checks.temperature)
    reasoning_effort: str | None = field(default=None, validator=checks.given_or_none)
    tools: tuple[Tool | Mapping[str, Any], ...] = field(default=(), converter=tools_of)
    tool_choice: ToolChoice | None = None
    output: Schema | JsonMode | None = field(default=None, converter=output_of)
    settings: ModelSettings | None = field(default=None, validator=are_settings)

    @property
    def model_settings(self) -> ModelSettings:
        """The settings that the request is written by."""
        return self.settings or model_settings(self.model)

    def sent_temperature(self) -> float | None:
        """The temperature, if the model takes one."""
        takes_it = self.model_settings.supports_temperature(self.reasoning_effort)
        return self.temperature if takes_it else None

    def forced_function(self) -> str | None:
        """The name of the function that must be called."""
        return forced_name(self.tool_choice, self.tools)
