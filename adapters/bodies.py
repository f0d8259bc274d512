"""What compresses and encrypts bodies: zstd, and AES-GCM with keys that can be changed."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from eventsourcing.persistence import Cipher, Compressor

from ..application.errors import InputError

_LEVEL = 1
_NONCE_BYTES = 12


class ZstdCompressor(Compressor):
    """Zstandard; what reads and writes it is imported when it is first needed."""

    _packer: Any = None

    def compress(self, data: bytes) -> bytes:
        """Compress one body into one frame."""
        zstd = _zstd()
        if self._packer is None:  # to make one takes as long as a body does
            self._packer = zstd.ZstdCompressor(level=_LEVEL)
        packed: bytes = self._packer.compress(data, mode=zstd.ZstdCompressor.FLUSH_FRAME)
        return packed

    def decompress(self, data: bytes) -> bytes:
        """Read one frame. Raises `ImportError`, saying what to install, without the extra."""
        body: bytes = _zstd().decompress(data)
        return body

    def check(self) -> None:
        """Raise `InputError` where it cannot be used."""
        try:
            _zstd()
        except ImportError as error:
            raise InputError(f"compression cannot be used: {error}") from error


def _zstd() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # noqa: PLC0415 (start-up time)
        else:
            from backports import zstd  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ImportError(
            "zstd is not installed; install it with: pip install 'batchtrail[zstd]'"
        ) from error
    return zstd


class KeyRing(Cipher):
    """AES-256-GCM under named keys: the first encrypts, each decrypts what bears its name.

    A body is stored as the length of the key's name (one byte), the name, a random nonce (12
    bytes) and the ciphertext with its tag (16 bytes more than the body). The name is
    authenticated with it. A key is good for some billions of bodies: the nonces are random.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Take keys of 32 bytes by their names, the one that encrypts first.

        Raises `InputError` when the package that encrypts is not installed.
        """
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        except ImportError as error:
            raise InputError(
                "encryption needs cryptography, which is not installed; "
                "install it with: pip install 'batchtrail[encryption]'"
            ) from error
        self._ciphers = {name.encode(): AESGCM(key) for name, key in keys.items()}
        self._first = next(iter(self._ciphers))

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt with the first key, under a new nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self._first].encrypt(nonce, plaintext, self._first)
        return b"".join((bytes((len(self._first),)), self._first, nonce, sealed))

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Decrypt with the key that is named. Raises `ValueError` for one that is not here."""
        end = 1 + ciphertext[0]
        name = ciphertext[1:end]
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise ValueError(
                f"BATCHTRAIL_ENCRYPTION_KEYS has no key {name.decode(errors='replace')!r}"
            )
        nonce = ciphertext[end : end + _NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, ciphertext[end + _NONCE_BYTES :], name)
        except Exception as error:
            shown = name.decode(errors="replace")
            raise ValueError(f"it was changed, or key {shown!r} is another one") from error
