"""What compresses and encrypts bodies."""

import builtins
import sys
from collections.abc import Callable
from typing import Any

import pytest

from batchtrail.adapters.bodies import KeyRing, ZstdCompressor
from batchtrail.application.errors import InputError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BODY = b'{"custom_id": "a"}' * 20


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give what makes a package one that is not installed."""

    def without(package: str) -> None:
        for name in list(sys.modules):
            if f"{name}.".startswith(f"{package}."):
                monkeypatch.delitem(sys.modules, name)
        imported = builtins.__import__

        def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
            if f"{name}.".startswith(f"{package}."):
                raise ImportError(name)
            return imported(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)

    return without


def test_zstd() -> None:
    """Bodies become smaller and come back."""
    packed = ZstdCompressor().compress(BODY)
    assert len(packed) < len(BODY) // 4
    assert ZstdCompressor().decompress(packed) == BODY


def test_without_zstd(without: Callable[[str], None]) -> None:
    """Who wants it is told at once what to install; who meets it in the database, there."""
    without("compression" if sys.version_info >= (3, 14) else "backports")
    with pytest.raises(InputError, match=r"pip install 'batchtrail\[zstd\]'"):
        ZstdCompressor().check()
    with pytest.raises(ImportError, match=r"pip install 'batchtrail\[zstd\]'"):
        ZstdCompressor().decompress(b"")


def test_without_cryptography(without: Callable[[str], None]) -> None:
    """Nothing is written in the clear for want of a package."""
    without("cryptography")
    with pytest.raises(InputError, match=r"pip install 'batchtrail\[encryption\]'"):
        KeyRing({"a": OLD})


def test_the_same_body_twice() -> None:
    """Nobody sees that two bodies are the same."""
    ring = KeyRing({"a": OLD})
    assert ring.encrypt(BODY) != ring.encrypt(BODY)
    assert BODY not in ring.encrypt(BODY)
    assert ring.decrypt(ring.encrypt(BODY)) == BODY
    assert ring.decrypt(ring.encrypt(b"")) == b""


def test_a_new_key() -> None:
    """The first key encrypts; what the old one encrypted is read as long as it is there."""
    before = KeyRing({"old": OLD}).encrypt(BODY)
    both = KeyRing({"new": NEW, "old": OLD})
    after = both.encrypt(BODY)
    assert both.decrypt(before) == both.decrypt(after) == BODY
    assert KeyRing({"new": NEW}).decrypt(after) == BODY
    with pytest.raises(ValueError, match="BATCHTRAIL_ENCRYPTION_KEYS has no key 'old'"):
        KeyRing({"new": NEW}).decrypt(before)


def test_another_key_of_the_name() -> None:
    """Neither key is told."""
    encrypted = KeyRing({"a": OLD}).encrypt(BODY)
    with pytest.raises(ValueError, match="key 'a' is another one"):
        KeyRing({"a": NEW}).decrypt(encrypted)


@pytest.mark.parametrize("place", [0, 1, 5, 20, -1])
def test_a_changed_byte(place: int) -> None:
    """Nothing that was changed is taken for a body: neither name, nor nonce, nor text, nor tag."""
    changed = bytearray(KeyRing({"a": OLD}).encrypt(BODY))
    changed[place] ^= 1
    with pytest.raises(ValueError, match=r"has no key|it was changed"):
        KeyRing({"a": OLD, "b": OLD}).decrypt(bytes(changed))


def test_keys_are_not_shown() -> None:
    """Not in the text of the ring either."""
    assert repr(OLD)[2:-1] not in repr(KeyRing({"a": OLD}))
