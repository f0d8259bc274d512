"""The form that an answer is asked in: free text, any JSON, or JSON by a schema."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from .checks import refused
from .schemas import Schema, SchemaSource, schema_of

JsonMode = Literal["json"]
Output = SchemaSource | JsonMode
"""`json` for any JSON object, or the schema of what is wanted."""


def output_of(output: Output | None) -> Schema | JsonMode | None:
    """The form as it is kept; a schema is checked. Raises `RequestRefusedError`."""
    if output is None:
        return None
    if isinstance(output, str):
        if output == "json":
            return "json"
        raise refused("output", f"is {output!r}; give 'json', a dict or a class")
    return schema_of(output)


def check_json_is_asked(prompt: Mapping[str, Any]) -> None:
    """Refuse JSON mode where the prompt never says so: OpenAI answers it with 400."""
    if b"json" not in msgspec.json.encode(prompt).lower():
        raise refused("output", "is 'json', and the prompt must then ask for JSON by this word")
