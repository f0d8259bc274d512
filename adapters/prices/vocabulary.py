"""Tokens counted with tiktoken, where it is installed and has its vocabulary on this machine.

tiktoken fetches a vocabulary that it does not have, and may wait for the network without end;
so it is only asked when the right file is in its cache.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from ...application.token_counting import TokenCounter, by_bytes

_BASE = "https://openaipublic.blob.core.windows.net/encodings/"
_SHA256 = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}


class TiktokenCounter:
    """Counts with a vocabulary of OpenAI's; texts that look like control tokens are plain text."""

    def __init__(self, encoding: Any) -> None:
        self.method = f"the texts by tiktoken's {encoding.name}"
        self._encode = encoding.encode_ordinary

    def count(self, texts: tuple[str, ...]) -> int:
        """The tokens of these texts together."""
        return sum(len(self._encode(text)) for text in texts)


def offline_counter(model: str | None) -> TokenCounter:
    """The best counter for a model that needs no network."""
    try:
        import tiktoken  # noqa: PLC0415 (optional, and slow to import)

        name = tiktoken.encoding_name_for_model(model or "")
    except (ImportError, KeyError):
        return by_bytes(model)
    if not _is_here(name):
        return by_bytes(model)
    return TiktokenCounter(tiktoken.get_encoding(name))


def _is_here(name: str) -> bool:
    """Whether tiktoken would find this vocabulary in its cache, whole."""
    directory = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if name not in _SHA256 or directory == "":
        return False
    cache = Path(tempfile.gettempdir(), "data-gym-cache") if directory is None else Path(directory)
    url = f"{_BASE}{name}.tiktoken"
    try:
        content = (cache / hashlib.sha1(url.encode()).hexdigest()).read_bytes()  # noqa: S324 (its name)
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == _SHA256[name]
