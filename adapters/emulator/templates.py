"""JSON made from templates: much cheaper than encoding, and with Python's `json.dumps` spacing.

OpenAI's result lines are spaced like that (`", "` and `": "`).
"""

import json
import re
from typing import Final

import msgspec

_WHOLE: Final = re.compile(r'"<(\w+)>"')
_WITHIN: Final = re.compile(r"<(\w+)>")


def template(shape: object) -> str:
    """Return a `%`-format string that renders the shape.

    The string value `"<name>"` stands for JSON given as `name`; `<name>` within a longer string
    stands for characters that need no escape.
    """
    text = json.dumps(shape).replace("%", "%%")
    return _WITHIN.sub(r"%(\1)s", _WHOLE.sub(r"%(\1)s", text))


def quoted(text: str) -> str:
    """Return a JSON string as `json.dumps` writes it; many times faster for plain text."""
    return msgspec.json.encode(text).decode() if text.isascii() else json.dumps(text)
