"""What is known of models, and how it changes what is sent."""

import pytest

from batchtrail import (
    ChatCompletionsRequest,
    CompletionsRequest,
    ModelSettings,
    Reasoning,
    ResponsesRequest,
    model_settings,
)


@pytest.mark.parametrize(
    ("model", "plain", "effort_none", "effort_low"),
    [
        ("gpt-4o-mini", True, True, True),
        ("gpt-4.1-nano-2025-04-14", True, True, True),
        ("gpt-3.5-turbo-instruct", True, True, True),
        ("gpt-5-chat-latest", True, True, True),
        ("gpt-5", False, False, False),
        ("gpt-5-nano-2025-08-07", False, False, False),
        ("gpt-5.1", True, True, False),
        ("gpt-5.1-codex-max", False, False, False),
        ("gpt-5.2-pro", False, False, False),
        ("gpt-5.4-mini", True, True, False),
        ("gpt-5.5", False, True, False),
        ("gpt-5.6-sol", False, True, False),
        ("gpt-6-astra", False, False, False),
        ("gpt-6.1-sol", False, True, False),
        ("o1", False, False, False),
        ("o3-mini-2025-01-31", False, False, False),
        ("o4-mini", False, False, False),
        ("ft:gpt-4o-mini-2024-07-18:acme::id", True, True, True),
        ("ft:o4-mini-2025-04-16:acme::id", False, False, False),
        ("openai/GPT-5-mini", False, False, False),
        ("openai/gpt-oss-120b", True, True, True),
        ("olmo-2", True, True, True),
        ("my-deployment", True, True, True),
    ],
)
def test_which_models_take_a_temperature(
    model: str, plain: bool, effort_none: bool, effort_low: bool
) -> None:
    """None while they reason, which some always do."""
    settings = model_settings(model)
    assert (plain, effort_none, effort_low) == tuple(
        settings.supports_temperature(effort) for effort in (None, "none", "low")
    )


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-4o-mini", "max_completion_tokens"),
        ("gpt-5-nano", "max_completion_tokens"),
        ("o3", "max_completion_tokens"),
        ("meta-llama/Llama-3.3-70B-Instruct", "max_tokens"),
        ("gpt-oss-120b", "max_tokens"),
    ],
)
def test_the_limit_on_tokens_has_the_name_that_the_model_knows(model: str, field: str) -> None:
    """In chat completions alone; responses have their own word."""
    chat = ChatCompletionsRequest(model=model, messages="x", max_output_tokens=5).body()
    assert {key: value for key, value in chat.items() if "tokens" in key} == {field: 5}
    response = ResponsesRequest(model=model, input="x", max_output_tokens=5)
    assert response.body()["max_output_tokens"] == 5


def test_a_temperature_that_the_model_does_not_take_is_left_out() -> None:
    """The effort that the request names decides with the model."""
    assert "temperature" not in ResponsesRequest(model="gpt-5", input="x", temperature=0).body()
    chat = ChatCompletionsRequest(
        model="gpt-5.2", messages="x", temperature=0.5, reasoning_effort="high"
    )
    assert "temperature" not in chat.body()
    assert chat.body()["reasoning_effort"] == "high"


def test_settings_of_the_user_outrank_what_is_known() -> None:
    """A deployment's name says nothing of its model."""
    settings = ModelSettings(reasoning=Reasoning.ALWAYS, max_tokens_field="max_tokens")
    chat = ChatCompletionsRequest(
        model="gpt-4o", messages="x", temperature=1, max_output_tokens=5, settings=settings
    )
    assert {"model", "messages", "max_tokens"} == set(chat.body())
    completion = CompletionsRequest(model="m", prompt="x", temperature=1, settings=settings)
    assert {"model", "prompt"} == set(completion.body())
