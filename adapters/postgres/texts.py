"""Texts of other people as bytes: a text of PostgreSQL holds no NUL and no lone surrogate.

Bytes do, in a database of any encoding. For reading by eye: `convert_from(custom_id, 'UTF8')`.
"""

_LONE_SURROGATES = "surrogatepass"


def bytes_of(text: str) -> bytes:
    """A text as it is stored."""
    return text.encode(errors=_LONE_SURROGATES)


def text_of(stored: bytes) -> str:
    """A text as it was before it was stored."""
    return stored.decode(errors=_LONE_SURROGATES)
