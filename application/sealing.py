"""Seals: one digest that stands for the whole log up to a position."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

from attrs import frozen

from ..domain.checks import check_text
from ..domain.values import Stamp
from .errors import InputError, StoreError
from .inspection import Inspector
from .transcoding import BatchMapper

if TYPE_CHECKING:
    from .store import Batches
    from .stored_log import StoredLog

PAGE_BYTES = 4 << 20
_LINK_BYTES = 32


@frozen
class Seal:
    """The link of the hash chain over all events up to a position; as text `POSITION:HEX`.

    The link behind an event is the SHA-256 over the link before it (32 bytes, at first zeros),
    the event's position (8 bytes, big-endian), and the event's digest.
    """

    position: int = 0
    link: bytes = bytes(_LINK_BYTES)

    @classmethod
    def parse(cls, text: str) -> "Seal":
        """Read a seal as it is printed. Raises `InputError`."""
        check_text("the seal", text)
        position, _, link = text.strip().partition(":")
        if not (position.isdecimal() and position.isascii() and len(link) == 2 * _LINK_BYTES):
            raise InputError(f"{text!r} is no seal; give it as `seal` printed it, POSITION:HEX")
        try:
            return cls(int(position), bytes.fromhex(link))
        except ValueError:
            raise InputError(f"{text!r} is no seal; {link!r} is not hexadecimal") from None

    def __str__(self) -> str:
        return f"{self.position}:{self.link.hex()}"

    def then(self, position: int, digest: bytes) -> "Seal":
        """The seal that one more event makes of this one."""
        return Seal(position, sha256(self.link + position.to_bytes(8) + digest).digest())


@frozen
class KeptSeal:
    """A seal that was taken of this log, when and by whom: moments are ISO 8601 texts."""

    seal: Seal
    sealed_at: str
    sealed_by: str


def sealed(reader: "StoredLog", mapper: BatchMapper, begin: Seal) -> Iterator[Seal]:
    """The seals behind `begin`, one for each event, in one pass and constant memory.

    Computed from states and bodies, not from the digests beside them. Raises `StoreError` at an
    event that is missing or damaged: what a seal says must be true when it is taken.
    """
    seal, inspector = begin, Inspector(mapper)
    while page := reader.log_page(after=seal.position, max_bytes=PAGE_BYTES):
        for record in page:
            if record.position != seal.position + 1:
                raise _not_sealed(f"there is no event at position {seal.position + 1}")
            finding = inspector.look(record)
            if finding.problems:
                raise _not_sealed(f"the event at position {record.position} {finding.problems[0]}")
            seal = seal.then(record.position, finding.digest)
            yield seal
    if seal.position < (last := reader.last_position()):
        raise _not_sealed(f"the events at positions {seal.position + 1} to {last} are missing")


def _not_sealed(problem: str) -> StoreError:
    return StoreError(f"the log cannot be sealed: {problem}; `verify` names all that is damaged")


def take_seal(
    reader: "StoredLog", mapper: BatchMapper, check: Callable[[], None], *, full: bool
) -> Seal:
    """The seal of the whole log, continued from the last one kept, or from the beginning.

    From the beginning it must pass through every seal that was kept. Raises `StoreError`.
    """
    kept = {each.seal.position: each.seal for each in reader.seals()}
    last = Seal() if full or not kept else kept[max(kept)]
    for seal in sealed(reader, mapper, last):
        check()
        if kept.get(seal.position, seal) != seal:
            raise _not_sealed(
                f"up to position {seal.position} it is not what was sealed as {kept[seal.position]}"
            )
        last = seal
    return last


def seal_store(
    batches: "Batches", stamp: Stamp, check: Callable[[], None] = lambda: None, *, full: bool
) -> Seal:
    """Seal the log of a store and keep the seal there. Raises `StoreError`.

    `check` raises when nobody wants the seal any longer.
    """
    with batches.recorder.reading() as reader:
        seal = take_seal(reader, batches.batch_mapper, check, full=full)
    if seal.position:
        batches.recorder.keep_seal(KeptSeal(seal, stamp.at.isoformat(), stamp.by.actor))
    return seal
