"""How bodies are stored: as they are, compressed, encrypted; each says for itself which."""

from collections.abc import Callable

from attrs import frozen
from eventsourcing.persistence import Cipher, Compressor

MARK = b"\x00"
"""Begins what is not stored as it is; the next byte says what was done to it."""

_COMPRESSED = 1
_ENCRYPTED = 2
UNUSED = 4
"""From this value on, that byte is left to stores, which mark bodies for ends of their own."""


@frozen
class BodyCoding:
    """Turns bodies into what the database holds, and back.

    `compressor` and `cipher` read what was written with them; new bodies are encrypted when there
    is a cipher, and compressed before that when `compresses` says so and it makes them smaller.
    As every body says how it was stored, the settings may change at any time.
    """

    compressor: Compressor | None = None
    cipher: Cipher | None = None
    compresses: bool = False

    def stored(self, body: bytes) -> bytes:
        """What the database holds of a body."""
        done = 0
        if self.compresses and self.compressor is not None:
            packed = self.compressor.compress(body)
            if len(packed) < len(body):
                body, done = packed, _COMPRESSED
        if self.cipher is not None:
            body, done = self.cipher.encrypt(body), done | _ENCRYPTED
        if not done and not body.startswith(MARK):
            return body
        return MARK + bytes((done,)) + body

    def plain(self, stored: bytes) -> bytes:
        """A body as it was recorded. Raises `ValueError` when it cannot be decoded."""
        if not stored.startswith(MARK):
            return stored
        done, body = stored[1:2], stored[2:]
        if not done or done[0] >= UNUSED:
            raise ValueError("its body lacks a part, or is stored in a way that is not known")
        if done[0] & _ENCRYPTED:
            if self.cipher is None:
                raise ValueError(
                    "its body is encrypted, and no key is set; set BATCHTRAIL_ENCRYPTION_KEYS"
                )
            body = _attempt("decrypted", self.cipher.decrypt, body)
        if done[0] & _COMPRESSED:
            if self.compressor is None:
                raise ValueError("its body is compressed, and there is nothing to read it with")
            body = _attempt("decompressed", self.compressor.decompress, body)
        return body


AS_THEY_ARE = BodyCoding()
"""Stores every body as it is, but for one that begins with `MARK`, which gets a mark itself."""


@frozen
class NoCoding(BodyCoding):
    """For events outside of databases: their bodies are plain, whatever they begin with."""

    def stored(self, body: bytes) -> bytes:
        """The body."""
        return body

    def plain(self, stored: bytes) -> bytes:
        """The body."""
        return stored


def _attempt(what: str, decode: Callable[[bytes], bytes], body: bytes) -> bytes:
    """What a cipher or compressor makes of bytes; each of them fails with errors of its own."""
    try:
        return decode(body)
    except Exception as error:
        raise ValueError(f"its body cannot be {what} ({error or type(error).__name__})") from error
