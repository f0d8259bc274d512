"""Texts from elsewhere, made such that they can be stored and written."""


def storable(text: str) -> str:
    """A text with the halves of surrogate pairs, which no encoding can store, as escapes."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
