"""The tests that every provider adapter must pass: the port's real specification.

Only this module needs pytest and pytest-asyncio, so nothing imports it but tests. An adapter
runs it in a test module of its own:

    class TestMyProvider(BatchProviderContract):
        @pytest.fixture
        def stage(self) -> ProviderStage:
            return MyStage()

For the full text of failed assertions, call
`pytest.register_assert_rewrite("batchtrail.adapters.fake.contract")` in a conftest.py.
The tests read result lines in OpenAI's shape, as the application does.
"""

from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from ...application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from ...application.ports import BatchProvider
from ...domain.status import BatchStatus
from ...domain.values import RequestCounts
from .stage import Actor, ProviderStage

__all__ = ["BatchProviderContract", "ProviderStage"]

FOUR = ("a", "b", "c", "d")


@pytest.mark.asyncio
class BatchProviderContract:
    """Inherit as `Test...` and override `stage`, and the other fixtures where they do not fit."""

    @pytest.fixture
    def stage(self) -> ProviderStage:
        """Give the stage with the adapter under test."""
        raise NotImplementedError("override the fixture `stage`")

    @pytest.fixture
    def endpoint(self) -> str:
        """Give an endpoint for which `body` is valid."""
        return "/v1/chat/completions"

    @pytest.fixture
    def body(self) -> dict[str, Any]:
        """Give the body of every request."""
        return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}

    @pytest.fixture
    def wrong_key_provider(self) -> BatchProvider | None:
        """Give the adapter with a key that the provider rejects; None skips the test."""
        return None

    @pytest.fixture
    def unreachable_provider(self) -> BatchProvider | None:
        """Give the adapter so that nobody listens to its next create; None skips the test."""
        return None

    @pytest.fixture
    def actor(self, stage: ProviderStage, endpoint: str, body: dict[str, Any]) -> Actor:
        """Give somebody who uploads and creates on the stage."""
        return Actor(stage.provider, endpoint, body)

    async def test_upload_returns_id_and_size(self, actor: Actor) -> None:
        """An upload is answered with the file's id and its size in bytes."""
        content = actor.line("a") + actor.line("b")
        uploaded = await actor.upload(content)
        assert uploaded.id
        assert uploaded.size == len(content)

    async def test_each_upload_is_a_file(self, actor: Actor) -> None:
        """The same content uploaded twice gives two files."""
        first, second = await actor.upload_requests(), await actor.upload_requests()
        assert first.id != second.id

    async def test_uploads_are_listed(self, actor: Actor) -> None:
        """The newest first, each with its name and size; a deleted one is gone."""
        uploaded = [await actor.upload_requests() for _ in range(3)]
        await actor.provider.delete_file(uploaded[1].id)
        ours = {file.id for file in uploaded}
        listed = [file async for file in actor.provider.list_files() if file.id in ours]
        assert [file.id for file in listed] == [uploaded[2].id, uploaded[0].id]
        assert {(file.filename, file.size) for file in listed} == {
            ("contract.jsonl", uploaded[0].size)
        }
        assert listed[1].created_at == uploaded[0].created_at

    async def test_retrieve_agrees_with_create(self, actor: Actor) -> None:
        """A new batch is in progress, and a retrieve shows what the create answered."""
        file = await actor.upload_requests()
        created = await actor.provider.create_batch(actor.request(file.id))
        retrieved = await actor.provider.retrieve_batch(created.id)
        assert created.report.status is BatchStatus.IN_PROGRESS
        assert created.report.raw_status
        assert created.input_file_id == retrieved.input_file_id == file.id
        assert (retrieved.id, retrieved.created_at) == (created.id, created.created_at)
        assert created.created_at is not None, "a moment needs a zone"

    async def test_metadata_comes_back(self, actor: Actor) -> None:
        """Create and retrieve show the metadata as it was sent."""
        created = await actor.start()
        retrieved = await actor.provider.retrieve_batch(created.id)
        assert created.metadata == retrieved.metadata == actor.metadata

    async def test_list_is_complete_and_newest_first(
        self, stage: ProviderStage, actor: Actor
    ) -> None:
        """The list shows every batch with its metadata, newest first, past the first page."""
        request = actor.request((await actor.upload_requests()).id)
        created = [
            (await stage.provider.create_batch(request)).id for _ in range(stage.page_size + 1)
        ]
        listed = await actor.listed()
        assert [batch.id for batch in listed] == created[::-1]
        assert listed[-1].metadata == actor.metadata
        assert listed[-1].input_file_id == request.input_file_id

    async def test_unknown_batch(self, actor: Actor) -> None:
        """An unknown batch is not found, neither to look at nor to cancel."""
        with pytest.raises(NotFoundError):
            await actor.provider.retrieve_batch("batch_unknown")
        with pytest.raises(NotFoundError):
            await actor.provider.cancel_batch("batch_unknown")

    async def test_unknown_file(self, actor: Actor) -> None:
        """An unknown file is not found, neither to download nor to delete."""
        with pytest.raises(NotFoundError):
            await actor.content("file-unknown")
        with pytest.raises(NotFoundError):
            await actor.provider.delete_file("file-unknown")

    async def test_missing_input_file(self, stage: ProviderStage, actor: Actor) -> None:
        """Without its input file a batch is not created, or is created and fails."""
        try:
            batch = await actor.provider.create_batch(actor.request("file-unknown"))
        except NotFoundError:
            assert await actor.listed() == []
            return
        await stage.finish(batch.id)
        report = (await actor.provider.retrieve_batch(batch.id)).report
        assert report.status is BatchStatus.FAILED
        assert report.errors[0].message

    async def test_bad_endpoint(self, actor: Actor) -> None:
        """An endpoint that batches do not serve is refused, and no batch is created."""
        file = await actor.upload_requests()
        with pytest.raises(RefusedError):
            await actor.provider.create_batch(actor.request(file.id, endpoint="/v1/nothing"))
        assert await actor.listed() == []

    async def test_full_life(self, stage: ProviderStage, actor: Actor) -> None:
        """A batch whose requests all succeed ends with one output line for each of them."""
        batch = await actor.start(FOUR)
        await stage.finish(batch.id)
        report = (await actor.provider.retrieve_batch(batch.id)).report
        assert report.status is BatchStatus.ENDED
        assert report.request_counts == RequestCounts(total=4, completed=4, failed=0)
        assert await actor.rows(report.error_file_id) == []
        rows = await actor.rows(report.output_file_id)
        assert sorted(row["custom_id"] for row in rows) == list(FOUR)
        assert await actor.answered(report) == list(FOUR)

    async def test_result_lines_end_with_newline(self, stage: ProviderStage, actor: Actor) -> None:
        """Every line of a result file ends with a newline, the last one too."""
        content = await _output(stage, actor)
        assert content.endswith(b"\n")
        assert content.count(b"\n") == 4  # noqa: PLR2004 (one for each request)

    async def test_download_repeats(self, stage: ProviderStage, actor: Actor) -> None:
        """Every download gives the same bytes from the first one."""
        batch = await actor.start()
        await stage.finish(batch.id)
        file_id = (await actor.provider.retrieve_batch(batch.id)).report.output_file_id
        assert file_id is not None
        assert await actor.content(file_id) == await actor.content(file_id)

    async def test_failed_validation(self, stage: ProviderStage, actor: Actor) -> None:
        """A bad input line fails the batch; the report names code, message and line.

        Its result files are not there, or empty, as everywhere in this suite: Azure always
        makes them.
        """
        file = await actor.upload(actor.line("a") + b"not JSON\n" + actor.line("c"))
        batch = await actor.provider.create_batch(actor.request(file.id))
        await stage.finish(batch.id)
        report = (await actor.provider.retrieve_batch(batch.id)).report
        assert report.status is BatchStatus.FAILED
        assert [error.line for error in report.errors] == [2]
        assert report.errors[0].code
        assert report.errors[0].message
        assert await actor.rows(report.output_file_id) == []
        assert await actor.rows(report.error_file_id) == []

    async def test_all_requests_failed(self, stage: ProviderStage, actor: Actor) -> None:
        """A batch whose requests all fail ends regularly, with rows in its error file only."""
        await stage.fail_requests_of_next()
        batch = await actor.start(FOUR)
        await stage.finish(batch.id)
        report = (await actor.provider.retrieve_batch(batch.id)).report
        assert report.status is BatchStatus.ENDED
        assert report.request_counts == RequestCounts(total=4, completed=0, failed=4)
        assert await actor.rows(report.output_file_id) == []
        rows = await actor.rows(report.error_file_id)
        assert sorted(row["custom_id"] for row in rows) == list(FOUR)
        assert await actor.answered(report) == []

    async def test_cancel_keeps_finished_rows(self, stage: ProviderStage, actor: Actor) -> None:
        """A cancelled batch keeps the results of the requests that were finished."""
        batch = await actor.start(FOUR)
        await stage.work(batch.id, finished=2, total=4)
        canceling = await actor.provider.cancel_batch(batch.id)
        assert canceling.report.status in {BatchStatus.IN_PROGRESS, BatchStatus.CANCELED}
        assert canceling.report.is_canceling != canceling.report.status.is_terminal
        await stage.finish(batch.id)
        report = (await actor.provider.retrieve_batch(batch.id)).report
        assert report.status is BatchStatus.CANCELED
        assert report.request_counts == RequestCounts(total=4, completed=2, failed=0)
        assert len(await actor.answered(report)) == 2  # noqa: PLR2004 (as staged)

    async def test_cancel_may_be_repeated(self, stage: ProviderStage, actor: Actor) -> None:
        """A cancel of a batch that is being cancelled, or was, changes nothing."""
        batch = await actor.start()
        first = await actor.provider.cancel_batch(batch.id)
        second = await actor.provider.cancel_batch(batch.id)
        assert second.report.raw_status == first.report.raw_status
        await stage.finish(batch.id)
        third = await actor.provider.cancel_batch(batch.id)
        assert third.report.status is BatchStatus.CANCELED

    async def test_cancel_after_the_end(self, stage: ProviderStage, actor: Actor) -> None:
        """A cancel of a batch that has ended is refused."""
        batch = await actor.start()
        await stage.finish(batch.id)
        with pytest.raises(RefusedError):
            await actor.provider.cancel_batch(batch.id)

    async def test_expiry_keeps_finished_rows(self, stage: ProviderStage, actor: Actor) -> None:
        """An expired batch keeps the results of the requests that were finished."""
        await stage.expire_next(finished=2, total=4)
        batch = await actor.start(FOUR)
        await stage.finish(batch.id)
        report = (await actor.provider.retrieve_batch(batch.id)).report
        assert report.status is BatchStatus.EXPIRED
        assert report.request_counts == RequestCounts(total=4, completed=2, failed=0)
        assert len(await actor.answered(report)) == 2  # noqa: PLR2004 (as staged)

    async def test_deleted_file_is_gone(self, actor: Actor) -> None:
        """A deleted file cannot be downloaded."""
        file = await actor.upload_requests()
        await actor.provider.delete_file(file.id)
        with pytest.raises(NotFoundError):
            await actor.content(file.id)

    async def test_wrong_key(self, actor: Actor, wrong_key_provider: BatchProvider | None) -> None:
        """With a wrong key every call is refused as unauthorized."""
        if wrong_key_provider is None:
            pytest.skip("this provider has no keys")
        stranger = Actor(wrong_key_provider, actor.endpoint, actor.body)
        with pytest.raises(UnauthorizedError):
            await stranger.upload_requests()
        with pytest.raises(UnauthorizedError):
            await stranger.provider.create_batch(stranger.request("file-unknown"))
        with pytest.raises(UnauthorizedError):
            await stranger.listed()
        with pytest.raises(UnauthorizedError):
            await stranger.provider.complete_request(actor.endpoint, actor.body_bytes)

    async def test_lost_answer_of_create(self, stage: ProviderStage, actor: Actor) -> None:
        """When a create's answer is lost its outcome is unknown, and the list tells it."""
        file = await actor.upload_requests()
        await stage.lose_next_create_answer()
        with pytest.raises(OutcomeUnknownError):
            await actor.provider.create_batch(actor.request(file.id))
        assert [batch.input_file_id for batch in await actor.listed()] == [file.id]

    async def test_refused_connection(
        self, actor: Actor, unreachable_provider: BatchProvider | None
    ) -> None:
        """A create that found no connection was surely not done."""
        if unreachable_provider is None:
            pytest.skip("this provider cannot be unreachable")
        file = await actor.upload_requests()
        with pytest.raises(UnavailableError):
            await unreachable_provider.create_batch(actor.request(file.id))
        assert await actor.listed() == []

    async def test_direct_answer(self, actor: Actor) -> None:
        """A synchronous request is answered at once, with a request id, and makes no batch."""
        answer = await actor.provider.complete_request(actor.endpoint, actor.body_bytes)
        assert answer.status_code == 200  # noqa: PLR2004 (HTTP's OK)
        assert answer.request_id
        assert await actor.listed() == []

    async def test_direct_answer_is_like_a_batch_row(
        self, stage: ProviderStage, actor: Actor
    ) -> None:
        """The body of a synchronous answer has the fields that a batch's result line has."""
        answer = await actor.provider.complete_request(actor.endpoint, actor.body_bytes)
        batch = await actor.start()
        await stage.finish(batch.id)
        report = (await actor.provider.retrieve_batch(batch.id)).report
        row = (await actor.rows(report.output_file_id))[0]
        body = msgspec.json.decode(answer.body, type=dict[str, Any])
        assert body.keys() == row["response"]["body"].keys()
        assert body["model"] == row["response"]["body"]["model"]

    async def test_direct_refusals(self, actor: Actor) -> None:
        """An unknown endpoint, a body that is no JSON, and no or an unknown model are refused."""
        unknown_model = {**actor.body, "model": "batchtrail-no-such-model"}
        calls = [
            ("/v1/nothing", actor.body_bytes),
            (actor.endpoint, b"not JSON"),
            (actor.endpoint, msgspec.json.encode(unknown_model)),
        ]
        if actor.endpoint not in actor.provider.limits.endpoints_without_model:
            no_model = {name: value for name, value in actor.body.items() if name != "model"}
            calls.append((actor.endpoint, msgspec.json.encode(no_model)))
        for endpoint, body in calls:
            with pytest.raises(RefusedError) as refused:
                await actor.provider.complete_request(endpoint, body)
            assert refused.value.http_status in {400, 404}

    async def test_lost_direct_answer(self, stage: ProviderStage, actor: Actor) -> None:
        """When the answer of a synchronous request is lost, it may have been paid for."""
        await stage.lose_next_direct_answer()
        with pytest.raises(OutcomeUnknownError):
            await actor.provider.complete_request(actor.endpoint, actor.body_bytes)

    async def test_broken_download(self, stage: ProviderStage, actor: Actor) -> None:
        """A transfer that breaks off never passes for a whole file."""
        content = await _output(stage, actor)
        file_id = (await actor.listed())[0].report.output_file_id
        assert file_id is not None
        await stage.break_next_download(after_bytes=len(content) // 2)
        received = b""
        async with aclosing(actor.provider.download(file_id)) as pieces:
            try:
                async for piece in pieces:
                    received += piece
            except UnavailableError:
                assert len(received) < len(content)
                assert content.startswith(received)
            else:
                # Nothing had been yielded yet, so the adapter could begin again by itself.
                assert received == content


async def _output(stage: ProviderStage, actor: Actor) -> bytes:
    batch = await actor.start(FOUR)
    await stage.finish(batch.id)
    file_id = (await actor.provider.retrieve_batch(batch.id)).report.output_file_id
    assert file_id is not None
    return await actor.content(file_id)
