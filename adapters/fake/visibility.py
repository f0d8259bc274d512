"""What the provider has done but does not show yet."""

from collections import Counter, deque


class _Hidden:
    """Ids that are hidden for so many looks, and the looks ordered for ids yet to be made."""

    def __init__(self) -> None:
        self.left: Counter[str] = Counter()
        self._ordered: deque[int] = deque()

    def hide(self, item_id: str | None, times: int) -> None:
        """Hide this id, or the next one made."""
        if item_id is None:
            self._ordered.append(times)
        else:
            self.left[item_id] = times

    def made(self, item_id: str) -> None:
        """Take note of a new id: hidden when that was ordered."""
        if self._ordered:
            self.left[item_id] = self._ordered.popleft()

    def look(self, item_id: str) -> bool:
        """Look once; whether the id is seen."""
        if self.left[item_id] <= 0:
            return True
        self.left[item_id] -= 1
        return False


class Lag:
    """A list that lags behind the creates, and creates that lag behind the uploads."""

    def __init__(self) -> None:
        self.batches = _Hidden()
        """Each look is one walk through the list."""
        self.files = _Hidden()
        """Each look is one create that names the file."""

    def hidden_from_this_walk(self) -> frozenset[str]:
        """Return the ids of the batches that a walk which begins now does not meet."""
        hidden = [batch_id for batch_id, left in self.batches.left.items() if left > 0]
        return frozenset(batch_id for batch_id in hidden if not self.batches.look(batch_id))
