"""Tokens are counted without any network, exactly where a vocabulary is at hand."""

import hashlib
import socket
from pathlib import Path
from typing import NoReturn

import pytest
import tiktoken

from batchtrail.adapters.prices import offline_counter, vocabulary

URL = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
FILE = hashlib.sha1(URL.encode()).hexdigest()  # noqa: S324 (as tiktoken names it)
TEXTS = ("hello world", "ünï")


@pytest.fixture(name="cache")
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of vocabularies, and no network."""

    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("the network was asked")

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(vocabulary, "_SHA256", dict(vocabulary._SHA256))
    return tmp_path


@pytest.mark.parametrize("model", ["gpt-5-nano", "gpt-4-turbo", "no-such-model", None])
def test_without_a_vocabulary_bytes_are_counted(cache: Path, model: str | None) -> None:
    """Sixteen bytes, four each; nobody asks the network."""
    assert not list(cache.iterdir())
    counter = offline_counter(model)
    assert counter.method == "UTF-8 bytes of the prompt texts / 4"
    assert counter.count(TEXTS) == 4
    assert counter.count((*TEXTS, "!")) == 5


@pytest.mark.parametrize("content", [b"", b"aGVsbG8= 0\n"])
def test_damaged_vocabulary_is_left_alone(cache: Path, content: bytes) -> None:
    """Tiktoken would delete it and fetch another."""
    (cache / FILE).write_bytes(content)
    assert offline_counter("gpt-5-nano").count(TEXTS) == 4
    assert (cache / FILE).read_bytes() == content


def test_switched_off_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty name of the directory switches tiktoken's cache off."""
    del cache
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert offline_counter("gpt-5-nano").count(TEXTS) == 4


def test_with_its_vocabulary_tiktoken_counts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vocabulary of single bytes counts bytes."""
    content = b"words and their numbers"
    (cache / FILE).write_bytes(content)
    vocabulary._SHA256["o200k_base"] = hashlib.sha256(content).hexdigest()
    ranks = {bytes([byte]): byte for byte in range(256)}
    single = tiktoken.Encoding(
        "o200k_base", pat_str=r".", mergeable_ranks=ranks, special_tokens={"<|end|>": 256}
    )
    monkeypatch.setattr(tiktoken, "get_encoding", {"o200k_base": single}.__getitem__)
    counter = offline_counter("gpt-5-nano")
    assert counter.method == "the texts by tiktoken's o200k_base"
    assert counter.count((*TEXTS, "<|end|>")) == 11 + 5 + 7
