"""What models differ in, as data; a request may bring settings of its own."""

import re
from enum import Enum
from typing import Any

from attrs import Attribute, field, frozen

from .checks import refused, text_of


class Reasoning(Enum):
    """When a model reasons before it answers; while it does, it takes no temperature."""

    NEVER = "never"
    IF_ASKED = "if asked"
    """Only with a reasoning effort other than "none"."""
    UNLESS_OFF = "unless off"
    """Except with the reasoning effort "none"."""
    ALWAYS = "always"


def _is_reasoning(_: object, __: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, Reasoning):
        raise refused("settings.reasoning", f"is {value!r}; give one of `Reasoning`")


@frozen(kw_only=True)
class ModelSettings:
    """How requests to a model are written.

    `max_tokens_field` is the name that chat completions have for the limit on output tokens.
    """

    reasoning: Reasoning = field(default=Reasoning.NEVER, validator=_is_reasoning)
    max_tokens_field: str = field(default="max_completion_tokens", validator=text_of("settings"))

    def supports_temperature(self, reasoning_effort: str | None = None) -> bool:
        """Whether the model takes a temperature together with this reasoning effort."""
        if reasoning_effort is None:
            return self.reasoning in {Reasoning.NEVER, Reasoning.IF_ASKED}
        if reasoning_effort == "none":
            return self.reasoning is not Reasoning.ALWAYS
        return self.reasoning is Reasoning.NEVER


def are_settings(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is neither settings nor None."""
    if value is not None and not isinstance(value, ModelSettings):
        raise refused(attribute.name, f"is {type(value).__name__}; give `ModelSettings`")


# The longest beginning that fits a model's name decides. OpenAI's model pages and the reports of
# its clients' users, 2026: a temperature that a model does not take is answered with 400.
_REASONING = {
    "chatgpt-": Reasoning.NEVER,
    "codex-mini": Reasoning.ALWAYS,
    "gpt-": Reasoning.NEVER,
    "gpt-5": Reasoning.ALWAYS,
    "gpt-5-chat": Reasoning.NEVER,
    "gpt-5.1": Reasoning.IF_ASKED,
    "gpt-5.1-chat": Reasoning.ALWAYS,
    "gpt-5.1-codex": Reasoning.ALWAYS,
    "gpt-5.2": Reasoning.IF_ASKED,
    "gpt-5.2-chat": Reasoning.ALWAYS,
    "gpt-5.2-pro": Reasoning.ALWAYS,
    "gpt-5.3": Reasoning.IF_ASKED,
    "gpt-5.3-chat": Reasoning.ALWAYS,
    "gpt-5.4": Reasoning.IF_ASKED,
    "gpt-5.4-pro": Reasoning.ALWAYS,
    "gpt-5.5": Reasoning.UNLESS_OFF,
    "gpt-5.5-pro": Reasoning.ALWAYS,
    "gpt-5.6": Reasoning.UNLESS_OFF,
    "gpt-6": Reasoning.UNLESS_OFF,
    "gpt-6-astra": Reasoning.ALWAYS,
    "gpt-oss": Reasoning.NEVER,  # open weights: the server that runs them takes a temperature
    "o1": Reasoning.ALWAYS,
    "o3": Reasoning.ALWAYS,
    "o4": Reasoning.ALWAYS,
}
_LONGEST_FIRST = sorted(_REASONING, key=len, reverse=True)
# `max_completion_tokens` is OpenAI's own word of 2024; other servers all know the older one.
_FOREIGN = ModelSettings(max_tokens_field="max_tokens")
_WRAPPING = re.compile(r"^(?:ft:|(?:.*/))+")


def model_settings(model: str) -> ModelSettings:
    """The settings of a model by its name; fine-tuned ones are as the model they came from.

    A name that is not OpenAI's, such as that of an Azure deployment or of another server's
    model, gets a temperature and `max_tokens`. Raises `RequestRefusedError` for what is no name.
    """
    if not isinstance(model, str):
        raise refused("model", f"is {type(model).__name__}; give its name")
    name = _WRAPPING.sub("", model.strip().lower())
    known = next((start for start in _LONGEST_FIRST if name.startswith(start)), None)
    if known is None or known == "gpt-oss":
        return _FOREIGN
    return ModelSettings(reasoning=_REASONING[known])
