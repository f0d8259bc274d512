"""What an outsider can see of a batch after its life, and what must hold of it."""

from collections import Counter
from typing import Any

from attrs import frozen
from tests.cli.conftest import Result
from tests.laboratory.promises import demand

from .inputs import Input
from .provider import Account
from .terminals import Home, Terminal

_SUMMED = ("status", "requests", "outcomes", "skipped_lines", "usage", "cost", "miscounted")
"""What `status` says of a batch that does not depend on when, where and how it was run."""


@frozen
class Evidence:
    """One batch as the provider, the commands and its results show it."""

    source: Input
    made: list[dict[str, Any]]
    """The batches at the provider that were made for this one."""
    lines: bytes
    """What the provider's result files hold, in input order."""
    results: bytes
    """What the user has."""
    summary: dict[str, Any]
    """What `status --json` says."""
    events: list[dict[str, Any]]
    """What `history --json` says."""

    @property
    def totals(self) -> dict[str, Any]:
        """The part of the summary that every life of such an input must come to."""
        return {name: self.summary[name] for name in _SUMMED}

    def named(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [each for each in self.events if each["event"] == event]


@frozen
class Looker:
    """Types commands that only read, and asks the provider."""

    terminal: Terminal
    home: Home
    account: Account

    def read(self, *arguments: str) -> Result:
        """Run a command that must succeed or tell of requests without success."""
        result = self.terminal.run(self.home, *arguments)
        demand(result.status in {0, 3}, "the log can be read", result)
        return result


def gather(
    looker: Looker, source: Input, summary: dict[str, Any], results: bytes | None = None
) -> Evidence:
    """Look at a batch from all sides; without `results` the command of that name gives them."""
    if results is None:
        results = looker.read("results", summary["id"]).stdout
    made = looker.account.made_for(summary["id"])
    living = [each for each in made if each["status"] not in {"cancelling", "cancelled"}]
    demand(len(living) == 1, "one submission makes one provider batch", [b["id"] for b in living])
    return Evidence(
        source=source,
        made=made,
        lines=looker.account.lines(living[0], source.custom_ids),
        results=results,
        summary=summary,
        events=looker.read("history", summary["id"], "--json").jsonl,
    )


def check_made_once(seen: Evidence) -> None:
    """One batch was made at the provider, and it is ours; not even a second one was canceled."""
    ids = [each["id"] for each in seen.made]
    ours = [seen.summary["provider_batch_id"]]
    demand(ids == ours, "one submission makes one provider batch", ids, ours)
    demand(len(seen.named("Submitted")) == 1, "a batch is submitted once")


def check_results(seen: Evidence) -> None:
    """The user has the provider's lines, to the byte, one for each request in input order."""
    demand(seen.results == seen.lines, "the results are the provider's lines in input order")
    applied = Counter(each["custom_id"] for each in seen.named("ResultApplied"))
    demand(max(applied.values(), default=0) == 1, "no result is applied twice")
    demand(applied.keys() == set(seen.source.custom_ids), "each result is applied")


def check_log(seen: Evidence) -> None:
    """The log has no gap, and its end is recorded once."""
    versions = [each["version"] for each in seen.events]
    demand(versions == list(range(1, len(versions) + 1)), "the log has no gap")
    demand(len(seen.named("ResultsCollected")) == 1, "results are collected once")
    handled = len(seen.named("HandlerDispatched"))
    wanted = int(seen.summary["completion_handler"] is not None)
    demand(handled == wanted, "a handler is recorded once", handled)


def check_end(seen: Evidence) -> None:
    """Every request has its outcome, and nothing is left to do."""
    outcomes = {name: count for name, count in seen.summary["outcomes"].items() if count}
    failed = {"failed": seen.source.failing} if seen.source.failing else {}
    wanted = {"succeeded": seen.source.requests - seen.source.failing, **failed}
    demand(outcomes == wanted, "each request has its outcome", outcomes, wanted)
    demand(seen.summary["status"] == "ended", "the batch ended", seen.summary["status"])
    demand(seen.summary["skipped_lines"] == 0, "no line was superfluous", seen.summary)
    demand(seen.summary["next_step"] is None, "nothing is left to do", seen.summary["next_step"])
    demand(seen.summary["trouble"] is None, "nothing is in trouble", seen.summary["trouble"])


def check_equal(seen: Evidence, undisturbed: Evidence) -> None:
    """Results and totals are those of a life in which nothing happened."""
    demand(seen.totals == undisturbed.totals, "totals", seen.totals, undisturbed.totals)
    plain, wanted = (each.source.plain(each.results) for each in (seen, undisturbed))
    demand(plain == wanted, "the results are those of an undisturbed run")


def check(seen: Evidence, undisturbed: Evidence | None) -> None:
    """Check all of it. Raises `BrokenPromiseError`."""
    check_made_once(seen)
    check_log(seen)
    check_results(seen)
    check_end(seen)
    if undisturbed is not None:
        check_equal(seen, undisturbed)
