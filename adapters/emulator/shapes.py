"""The bodies that OpenAI's endpoints answer with, as templates."""

import json
from typing import Final

from .templates import template

CHAT_COMPLETION: Final = template(
    {
        "id": "chatcmpl-<tag>",
        "object": "chat.completion",
        "created": "<created>",
        "model": "<model>",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "<text>",
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "<finish>",
            }
        ],
        "usage": {
            "prompt_tokens": "<input>",
            "completion_tokens": "<output>",
            "total_tokens": "<total>",
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": "<reasoning_tokens>",
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }
)

RESPONSE: Final = template(
    {
        "id": "resp_<tag>",
        "object": "response",
        "created_at": "<created>",
        "status": "<status>",
        "background": False,
        "billing": {"payer": "developer"},
        "error": None,
        "incomplete_details": "<incomplete>",
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "<model>",
        "output": [
            "<reasoning>",
            {
                "id": "msg_<tag>",
                "type": "message",
                "status": "<status>",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "annotations": [], "logprobs": [], "text": "<text>"}
                ],
            },
        ],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        # A batch line says "default" here too, not "batch".
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": "<input>",
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
            "output_tokens": "<output>",
            "output_tokens_details": {"reasoning_tokens": "<reasoning_tokens>"},
            "total_tokens": "<total>",
        },
        "user": None,
        "metadata": "<metadata>",
    }
).replace("%(reasoning)s, ", "%(reasoning)s")  # It is empty or brings its own comma.

REASONING: Final = template({"id": "rs_<tag>", "type": "reasoning", "summary": []}) + ", "

COMPLETION: Final = template(
    {
        "id": "cmpl-<tag>",
        "object": "text_completion",
        "created": "<created>",
        "model": "<model>",
        "choices": [{"text": "<text>", "index": 0, "logprobs": None, "finish_reason": "<finish>"}],
        "usage": {
            "prompt_tokens": "<input>",
            "completion_tokens": "<output>",
            "total_tokens": "<total>",
        },
    }
)

EMBEDDING: Final = template({"object": "embedding", "embedding": "<vector>", "index": "<index>"})

EMBEDDINGS: Final = template(
    {
        "object": "list",
        "data": ["<data>"],
        "model": "<model>",
        "usage": {"prompt_tokens": "<input>", "total_tokens": "<input>"},
    }
)

_CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)

MODERATION_RESULT: Final = json.dumps(
    {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
)

MODERATION: Final = template({"id": "modr-<tag>", "model": "<model>", "results": ["<results>"]})

# A PNG of one pixel.
_PICTURE: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
PICTURE: Final = json.dumps({"b64_json": _PICTURE})

PICTURES: Final = template(
    {
        "created": "<created>",
        "data": ["<data>"],
        "usage": {
            "total_tokens": "<total>",
            "input_tokens": "<input>",
            "output_tokens": "<output>",
            "input_tokens_details": {"text_tokens": "<input>", "image_tokens": 0},
        },
    }
)

VIDEO: Final = template(
    {
        "id": "video_<tag>",
        "object": "video",
        "model": "<model>",
        "status": "completed",
        "progress": 100,
        "created_at": "<created>",
        "completed_at": "<created>",
        "expires_at": "<expires>",
        "prompt": "<prompt>",
        "size": "<size>",
        "seconds": "<seconds>",
        "remixed_from_video_id": None,
        "error": None,
    }
)

_RESULT: Final = {
    "custom_id": "<custom_id>",
    "response": {"status_code": "<status>", "request_id": "<request_id>", "body": "<body>"},
    "error": None,
}
_UNDONE: Final = {
    "custom_id": "<custom_id>",
    "response": None,
    "error": {"code": "<code>", "message": "<message>"},
}
_LINE_ID: Final = {"id": "<prefix><suffix>"}

RESULT_LINE: Final = template({**_LINE_ID, **_RESULT}) + "\n"
UNDONE_LINE: Final = template({**_LINE_ID, **_UNDONE}) + "\n"
BARE_RESULT_LINE: Final = template(_RESULT) + "\n"
"""A line without an id of its own, as Azure writes it (samples in public notebooks)."""
BARE_UNDONE_LINE: Final = template(_UNDONE) + "\n"
