"""The rules for request lines: what a batch may hold, checked before anything is sent."""

from collections.abc import Iterable, Sequence

from .errors import RequestRefusedError
from .values import Limits, RequestLine


class RequestIndex:
    """The custom_ids of one batch by request number, and which of them are settled.

    It grows with the batch, so it is no part of the aggregate's state: services build it from
    the input or from the completions view and hand it to the commands that need it.
    """

    def __init__(self, custom_ids: Iterable[str] = (), settled: Iterable[int] = ()) -> None:
        self._numbers = {custom_id: number for number, custom_id in enumerate(custom_ids, 1)}
        self._settled = set(settled)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, custom_id: str) -> int | None:
        """The request's position in the input, from 1; None for an unknown custom_id."""
        return self._numbers.get(custom_id)

    def numbers(self, custom_ids: Iterable[str | None]) -> list[int | None]:
        """Each request's position in the input; None where its custom_id is unknown or None."""
        return [self._numbers.get(custom_id or "") for custom_id in custom_ids]

    def add(self, custom_id: str) -> int:
        """Give the next number to a new custom_id and return it."""
        number = len(self._numbers) + 1
        self._numbers[custom_id] = number
        return number

    def add_all(self, custom_ids: Sequence[str]) -> bool:
        """Give the next numbers to custom_ids that are all new; nothing to any when one is not."""
        begin = len(self._numbers) + 1
        numbers = dict(zip(custom_ids, range(begin, begin + len(custom_ids)), strict=True))
        are_new = len(numbers) == len(custom_ids) and self._numbers.keys().isdisjoint(numbers)
        if are_new:
            self._numbers |= numbers
        return are_new

    def is_open(self, custom_id: str) -> bool:
        """Whether there is such a request, and it has no result yet."""
        number = self._numbers.get(custom_id)
        return number is not None and number not in self._settled

    def settle(self, custom_id: str) -> int | None:
        """Remember that the request has its result, and give its number.

        None when it had its result before, or is unknown; nothing is remembered then.
        """
        number = self._numbers.get(custom_id)
        if number is None or number in self._settled:
            return None
        self._settled.add(number)
        return number

    def settle_all(self, numbers: Sequence[int]) -> bool:
        """Remember that the requests of these numbers, one at least, have their results.

        False, and nothing is remembered, unless each is known and none had its result before.
        """
        settled = set(numbers)
        are_known = 0 < min(settled) <= max(settled) <= len(self._numbers)
        are_open = len(settled) == len(numbers) and settled.isdisjoint(self._settled)
        if are_known and are_open:
            self._settled |= settled
        return are_known and are_open


class RequestCheck:
    """Admits request lines one by one, and refuses the first that breaks a rule.

    The rules: a custom_id that is neither blank nor used before, method POST, one endpoint that
    the provider's batches serve, one model, no streaming, and the provider's limits.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        endpoint: str | None = None,
        model: str | None = None,
        known: RequestIndex | None = None,
        size: int = 0,
    ) -> None:
        self.limits = limits
        self.endpoint = endpoint
        self.model = model
        self.index = RequestIndex() if known is None else known
        self.count = len(self.index)
        """The requests admitted so far."""
        self.size = size

    def admit(self, line: RequestLine) -> None:
        """Count the line in, or raise `RequestRefusedError` naming its line and field."""
        self._check_custom_id(line)
        self._check_target(line)
        self._check_model(line)
        self._check_limits(line)
        self.endpoint = line.url
        self.model = line.model
        self.count = self.index.add(line.custom_id)
        self.size += len(line.raw) + 1

    def admit_alike(self, custom_ids: Sequence[str], *, size: int) -> bool:
        """Count in lines that differ from the last one admitted in no field but the custom_id.

        Only all of them, if no other rule is broken; otherwise none, and false. One by one, the
        same lines show which is refused, and why. `size` is theirs, newlines included.
        """
        fit = (
            self.count > 0
            and self.count + len(custom_ids) <= self.limits.max_requests
            and self.size + size <= self.limits.max_bytes
            and all(map(str.strip, custom_ids))
        )
        if not fit or not self.index.add_all(custom_ids):
            return False
        self.count += len(custom_ids)
        self.size += size
        return True

    def _check_custom_id(self, line: RequestLine) -> None:
        if not line.custom_id.strip():
            raise _refused(line, "custom_id", "is blank; give every request its own custom_id")
        first = self.index.number(line.custom_id)
        if first is not None:
            raise _refused(
                line,
                "custom_id",
                f"{line.custom_id!r} was used on line {first} already; "
                "give every request its own custom_id",
            )

    def _check_target(self, line: RequestLine) -> None:
        if line.method != "POST":
            raise _refused(line, "method", f"is {line.method!r}; batches take only 'POST'")
        if not line.url.strip():
            raise _refused(line, "url", "is blank; name the batch endpoint")
        if self.endpoint is None:
            if line.url not in self.limits.endpoints:
                known = ", ".join(sorted(self.limits.endpoints))
                raise _refused(
                    line, "url", f"{line.url!r} is no batch endpoint; use one of {known}"
                )
        elif line.url != self.endpoint:
            raise _refused(
                line,
                "url",
                f"{line.url!r} differs from the batch's endpoint {self.endpoint!r}; "
                "put requests for another endpoint in a file of their own",
            )

    def _check_model(self, line: RequestLine) -> None:
        if line.stream:
            raise _refused(line, "body.stream", "is true; batches cannot stream, remove it")
        if not (line.model or "").strip() and line.url not in self.limits.endpoints_without_model:
            raise _refused(line, "body.model", "is missing or blank; name the model")
        if self.count and line.model != self.model:
            raise _refused(
                line,
                "body.model",
                f"{line.model!r} differs from the batch's model {self.model!r}; "
                "put requests for another model in a file of their own",
            )

    def _check_limits(self, line: RequestLine) -> None:
        if self.count >= self.limits.max_requests:
            raise _refused(
                line,
                None,
                f"is past the limit of {self.limits.max_requests:,} requests in one batch; "
                "split the input",
            )
        if self.size + len(line.raw) + 1 > self.limits.max_bytes:
            raise _refused(
                line,
                None,
                f"is past the limit of {self.limits.max_bytes:,} bytes in one batch; "
                "split the input",
            )


def _refused(line: RequestLine, field: str | None, problem: str) -> RequestRefusedError:
    return RequestRefusedError(problem, line=line.number, field=field)
