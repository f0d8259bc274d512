"""The rules of a batch, whatever is asked of it and whatever the provider reports.

The machine gives commands in any order and keeps a model of its own, a few flags and sums. What
the model does not allow must be refused and leave nothing behind; after each step, state, log and
model must agree. A failing life is shrunk to the shortest one, written as Python.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.domain.conftest import NOT_VISIBLE, Story, report

from batchtrail.domain.batch import MAX_LEFT_BATCHES, MAX_LOST_CREATES
from batchtrail.domain.errors import DomainError
from batchtrail.domain.status import BatchStatus, ResultFile
from batchtrail.domain.values import RequestProblem, TokenUsage

if TYPE_CHECKING:
    from collections.abc import Callable

PENDING = "pending"
OPEN_WORDS = ("validating", "in_progress", "finalizing", "paused_for_lunch")
ENDS = ("completed", "expired", "cancelled", "failed")
STATE_CHARACTERS = 4_000

batches = st.sampled_from(["batch_1", "batch_2", "batch_3"])
words = st.sampled_from([*OPEN_WORDS, *ENDS])
files = st.sampled_from(ResultFile)
results = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "nobody", None]),
        st.sampled_from([200, 200, 429]),
        st.sampled_from([None, TokenUsage(input=3, output=2)]),
        st.sampled_from([None, Decimal("0.1"), Decimal("1e-9")]),
    ),
    min_size=1,
    max_size=4,
)


class BatchMachine(RuleBasedStateMachine):
    """One batch beside a model of what may become of it."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story(completion_handler="shop:Done")
        self.requests: list[str] = []
        self.is_started = self.is_uploaded = self.is_wished_away = False
        self.is_collected = self.is_dispatched = False
        self.create_open = False
        self.creates = self.lost = 0
        self.ours: str | None = None
        self.left: set[str] = set()
        self.end: BatchStatus | None = None
        self.applied: set[str] = set()
        self.skipped = 0
        self.cost = Decimal(0)
        self.tokens = Counter[str]()
        self.rest = Counter[str]()

    @initialize(steps=st.integers(0, 8), lost=st.integers(0, MAX_LOST_CREATES))
    def begin(self, steps: int, lost: int) -> None:
        """Most lives begin somewhere on the straight way, or few would come to its end."""
        way: list[Callable[[], object]] = [
            lambda: [self.add(custom_id="a"), self.add(custom_id="b"), self.add(custom_id="c")],
            self.start,
            self.upload,
            lambda: self.lose_creates(lost),
            self.create,
            lambda: self.answer(batch="batch_1", word="validating", adopted=False),
            lambda: self.poll(batch=None, word="completed", after_call=False),
            lambda: self.collect(lost=False),
        ]
        for step in way[:steps]:
            step()

    # How a command is given

    def given(self, command: Callable[[], object], *, allowed: bool) -> bool:
        """Give a command; it is refused unless the model allows it, and then leaves no event."""
        self.story.facts()
        version = self.story.batch.version
        try:
            command()
        except DomainError:
            assert not allowed, "refused what the model allows"
            assert (self.story.news(), self.story.batch.version) == ([], version)
            return False
        assert allowed, "did what the model does not allow"
        return True

    @property
    def is_pending(self) -> bool:
        return self.ours is None and self.end is None

    @property
    def is_submitting(self) -> bool:
        return self.is_pending and self.is_started

    @property
    def is_at_work_again(self) -> bool:
        batch = self.story.batch
        is_open = batch.report is not None and batch.raw_status in OPEN_WORDS
        return self.end is not None and is_open and not batch.given_up

    def ended(self, raw: str) -> None:
        """Take note of an end in a report about our batch."""
        self.end = {
            "completed": BatchStatus.ENDED,
            "expired": BatchStatus.EXPIRED,
            "cancelled": BatchStatus.CANCELED,
            "failed": BatchStatus.FAILED,
        }.get(raw)

    # Before the submission

    @rule(custom_id=st.sampled_from(["a", "b", "c"]))
    def add(self, custom_id: str) -> None:
        if custom_id in self.requests:
            return  # the check of whole inputs refuses it, before the aggregate is asked
        if self.given(
            lambda: self.story.add(custom_id), allowed=self.is_pending and not self.is_started
        ):
            self.requests.append(custom_id)

    @precondition(lambda self: self.is_pending)
    @rule()
    def start(self) -> None:
        allowed = self.is_pending and not self.is_started and bool(self.requests)
        if self.given(self.story.start, allowed=allowed):
            self.is_started = True

    @precondition(lambda self: self.is_pending)
    @rule()
    def upload(self) -> None:
        allowed = self.is_submitting and not self.is_uploaded and not self.is_wished_away
        if self.given(self.story.upload, allowed=allowed):
            self.is_uploaded = True

    # The create call

    @precondition(lambda self: self.is_started)
    @rule()
    def create(self) -> None:
        allowed = (
            self.is_submitting
            and self.is_uploaded
            and not self.create_open
            and not self.is_wished_away
            and self.lost < MAX_LOST_CREATES
        )
        if self.given(self.story.create, allowed=allowed):
            self.create_open = True
            self.creates += 1

    @precondition(lambda self: self.is_started)
    @rule(searched=st.booleans(), behind=st.integers(0, 1))
    def not_created(self, searched: bool, behind: int) -> None:
        self.given(
            lambda: self.story.not_created(self.creates - behind, searched=searched), allowed=True
        )
        if self.is_pending and self.create_open and behind == 0:
            self.create_open = False
            self.lost += searched

    def lose_creates(self, times: int) -> None:
        for _ in range(times):
            self.create()
            self.not_created(searched=True, behind=0)

    @rule(batch=batches, word=words, adopted=st.booleans())
    def answer(self, batch: str, word: str, adopted: bool) -> None:
        """An answer or a find; of any batch that the provider may have."""
        known = batch in self.left or batch == self.ours
        allowed = known or (self.is_submitting and self.creates > 0)
        if self.given(lambda: self.story.answer(batch, word, adopted=adopted), allowed=allowed):
            if batch in self.left:
                return
            if self.ours is None:
                self.ours, self.create_open = batch, False
            if self.end is None:
                self.ended(word)

    @precondition(lambda self: self.is_started)
    @rule()
    def refuse(self) -> None:
        self.given(self.story.refuse, allowed=True)
        if self.is_submitting and (self.create_open or not self.is_uploaded):
            self.end, self.create_open = BatchStatus.FAILED, False

    @rule(batch=batches)
    def sibling(self, batch: str) -> None:
        self.given(lambda: self.story.sibling(batch), allowed=batch != self.ours)

    @rule(batch=batches)
    def cancel_sibling(self, batch: str) -> None:
        self.given(lambda: self.story.cancel_sibling(batch), allowed=True)

    # With the provider

    @rule(batch=st.none() | batches, word=words, after_call=st.booleans())
    def poll(self, batch: str | None, word: str, after_call: bool) -> None:
        """A report, late or early, about our batch or another."""
        allowed = self.end is not None or self.ours is not None or self.is_submitting
        told = self.given(
            lambda: self.story.poll(word, of=batch, after_call=after_call), allowed=allowed
        )
        about_ours = self.ours is not None and batch in {None, self.ours}
        if told and about_ours and self.end is None:
            self.ended(word)

    @precondition(lambda self: self.ours is not None and self.end is None)
    @rule()
    def fail_for_want_of_the_file(self) -> None:
        assert self.ours is not None
        again = len(self.left) < MAX_LEFT_BATCHES
        self.given(lambda: self.story.poll(NOT_VISIBLE), allowed=True)
        if again:
            self.left.add(self.ours)
            self.ours = None
        else:
            self.end = BatchStatus.FAILED

    @rule()
    def cancel(self) -> None:
        is_over = self.end is not None and not self.is_at_work_again
        allowed = not is_over and not self.is_wished_away
        if self.given(self.story.cancel, allowed=allowed):
            self.is_wished_away = True
            if not self.is_started:
                self.end = BatchStatus.CANCELED

    @precondition(lambda self: self.is_started)
    @rule()
    def abandon(self) -> None:
        allowed = self.is_submitting and self.is_wished_away and not self.create_open
        if self.given(self.story.abandon, allowed=allowed):
            self.end = BatchStatus.CANCELED

    @rule()
    def give_up(self) -> None:
        allowed = self.end is not None or self.ours is not None
        if self.given(self.story.give_up, allowed=allowed) and self.end is None:
            self.end = BatchStatus.FAILED

    # After the end

    @precondition(lambda self: self.ours is not None or self.end is not None)
    @rule(word=words, output=st.booleans(), after_call=st.booleans())
    def amend(self, word: str, output: bool, after_call: bool) -> None:
        file_id = "file-out" if output else None
        self.given(
            lambda: self.story.amend(word, output_file_id=file_id, after_call=after_call),
            allowed=True,
        )

    @precondition(lambda self: self.end is not None)
    @rule(rows=results, file=files)
    def apply(self, rows: list[tuple[Any, ...]], file: ResultFile) -> None:
        lines = [
            self.story.line(name, file=file, status_code=code, usage=usage, cost=cost)
            for name, code, usage, cost in rows
        ]
        if self.given(lambda: self.story.apply(*lines, file=file), allowed=not self.is_collected):
            for row in rows:
                self.count(*row)

    def count(
        self, name: str | None, code: int, usage: TokenUsage | None, cost: Decimal | None
    ) -> None:
        """Add one line to the model's sums, unless it fits nowhere."""
        if name not in self.requests or name in self.applied:
            self.skipped += 1
            return
        assert name is not None
        self.applied.add(name)
        outcome = "succeeded" if code == 200 else "failed"
        self.tokens[outcome] += 1
        self.tokens["input"] += usage.input if usage else 0
        self.tokens["output"] += usage.output if usage else 0
        used = usage is not None or outcome == "succeeded"
        self.cost += (cost or 0) if used else 0
        self.tokens["unpriced"] += used and cost is None

    @precondition(lambda self: self.end is None)
    @rule(file=files)
    def apply_too_early(self, file: ResultFile) -> None:
        line = self.story.line("a", file=file)
        self.given(lambda: self.story.apply(line, file=file), allowed=False)

    @precondition(lambda self: self.ours is not None or self.end is not None)
    @rule(lost=st.booleans())
    def collect(self, lost: bool) -> None:
        problem = RequestProblem("result_file_lost", "It is gone.") if lost else None
        if not self.given(lambda: self.story.collect(lost=problem), allowed=self.end is not None):
            return
        if not self.is_collected:
            self.is_collected = True
            outcome = "missing" if lost or self.end is BatchStatus.ENDED else str(self.end)
            self.rest = Counter({outcome: len(self.requests) - len(self.applied)})

    @precondition(lambda self: self.ours is not None or self.end is not None)
    @rule(word=st.sampled_from(ENDS))
    def reopen(self, word: str) -> None:
        batch = self.story.batch
        shown = batch.report
        is_bare = shown is not None and shown.names_no_file and self.end is BatchStatus.ENDED
        takes_any = batch.given_up or is_bare or self.is_at_work_again
        is_shown = shown is not None and report(word).status is shown.status
        fits = report(word).status is self.end or is_shown or takes_any
        left = len(self.requests) > len(self.applied)
        allowed = self.is_collected and left and fits
        if self.given(lambda: self.story.reopen(word), allowed=allowed):
            self.is_collected = False
            self.rest.clear()

    @precondition(lambda self: self.ours is not None or self.end is not None)
    @rule()
    def dispatch(self) -> None:
        if self.given(self.story.dispatch, allowed=self.is_collected):
            self.is_dispatched = True

    @rule(fails=st.booleans())
    def work(self, fails: bool) -> None:
        self.given(self.story.fail_work if fails else self.story.resume_work, allowed=True)

    # What holds after each step

    @invariant()
    def the_log_gives_the_state(self) -> None:
        assert self.story.replayed() == self.story.state()
        assert len(str(self.story.state())) < STATE_CHARACTERS

    @invariant()
    def an_end_is_never_left(self) -> None:
        batch = self.story.batch
        assert batch.status.is_terminal is (self.end is not None)
        if self.end is not None:
            assert batch.status is self.end
            assert batch.ended_at is not None

    @invariant()
    def one_batch_is_ours(self) -> None:
        batch = self.story.batch
        assert batch.provider_batch_id == self.ours
        assert self.ours not in self.left
        assert not set(batch.siblings) & set(batch.canceled_siblings)
        if batch.submission is not None:
            assert set(batch.submission.left_batch_ids) == self.left
            assert batch.submission.lost_creates == self.lost
            assert batch.submission.create_attempt == self.creates

    @invariant()
    def totals_are_the_sums_of_the_lines(self) -> None:
        totals = self.story.batch.totals
        outcomes = Counter({name: self.tokens[name] for name in ("succeeded", "failed")})
        outcomes += self.rest
        assert Counter(_fields(totals.outcomes)) + Counter() == outcomes
        assert totals.skipped_lines == self.skipped
        assert totals.priced_cost == self.cost
        assert totals.unpriced == self.tokens["unpriced"]
        assert (totals.usage.input, totals.usage.output) == (
            self.tokens["input"],
            self.tokens["output"],
        )

    @invariant()
    def every_request_has_one_outcome_in_the_end(self) -> None:
        batch = self.story.batch
        assert batch.results_collected is self.is_collected
        settled = batch.totals.outcomes.settled
        assert settled == (len(self.requests) if self.is_collected else len(self.applied))
        assert batch.handler_dispatched is self.is_dispatched

    @invariant()
    def there_is_always_something_to_do_until_all_is_done(self) -> None:
        batch = self.story.batch
        done = self.is_collected and self.is_dispatched and not batch.siblings
        draft = self.is_pending and not self.is_started and not batch.siblings
        assert (batch.next_step is None) is (done or draft)

    def teardown(self) -> None:
        """Nothing is in the log twice."""
        self.story.facts()
        names = Counter(type(event).__name__ for event in self.story.past)
        assert names["HandlerDispatched"] <= 1
        assert names["SubmissionStarted"] <= 1
        assert names["Submitted"] <= 1 + names["InputNotVisible"] + names["TokenLimitReached"]
        once = [
            vars(e)["custom_id"] for e in self.story.past if type(e).__name__ == "ResultApplied"
        ]
        assert len(once) == len(set(once))


def _fields(outcomes: Any) -> dict[str, int]:
    return {name: getattr(outcomes, name) for name in type(outcomes).__slots__ if name[0] != "_"}


TestBatchMachine = BatchMachine.TestCase
TestBatchMachine.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    phases=[phase for phase in Phase if phase is not Phase.explain],  # it takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
