"""The emulator as an aiohttp application."""

import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aiohttp import web

from . import control, http_batches, http_complete, http_files, middlewares
from .batches import Batches
from .calls import Calls
from .context import CONTEXT, Context
from .faults import Faults, Operation
from .settings import EmulatorSettings
from .store import Store

FAULTS: Final = web.AppKey("faults", Faults)
"""The application's armed faults, for tests in the same process."""

CALLS: Final = web.AppKey("calls", Calls)
"""The application's call counts, for tests in the same process."""

_BODY_BYTES: Final = 64 * 1024 * 1024
_WORKERS: Final = 2


def create_app(
    settings: EmulatorSettings, *, clock: Callable[[], float] = time.time
) -> web.Application:
    """Return the application; it opens its data directory when it starts.

    The clock, in Unix seconds, moves batches along; tests pass one that they set themselves.
    """
    app = web.Application(
        client_max_size=_BODY_BYTES, middlewares=[middlewares.framing, middlewares.calls]
    )
    app[FAULTS] = Faults(settings.faults)
    app[CALLS] = Calls()

    async def opened(app: web.Application) -> AsyncIterator[None]:
        with ExitStack() as stack:
            directory = settings.data_dir
            if directory is None:
                directory = Path(stack.enter_context(TemporaryDirectory(prefix="batchtrail-")))
            store = Store(directory)
            stack.callback(store.close)
            # Left before the directory: a worker that still writes is waited for.
            workers = stack.enter_context(ThreadPoolExecutor(_WORKERS, "emulator"))
            batches = Batches(settings, store, app[FAULTS], clock, workers)
            app[CONTEXT] = Context(
                settings=settings,
                clock=clock,
                faults=app[FAULTS],
                calls=app[CALLS],
                store=store,
                batches=batches,
            )
            yield

    app.cleanup_ctx.append(opened)
    app.on_response_prepare.append(middlewares.add_headers)
    _add_routes(app.router, settings.manners.routes)
    return app


def _add_routes(router: web.UrlDispatcher, base: str) -> None:
    """Name each route after its operation, by which the middlewares know it."""
    files, batches = f"{base}/files", f"{base}/batches"
    file, batch = files + "/{file_id}", batches + "/{batch_id}"
    router.add_post(files, http_files.upload, name=Operation.UPLOAD)
    router.add_get(files, http_files.list_files, name=Operation.LIST_FILES)
    router.add_get(file, http_files.retrieve_file, name=Operation.RETRIEVE_FILE)
    router.add_delete(file, http_files.delete, name=Operation.DELETE)
    router.add_get(f"{file}/content", http_files.download, name=Operation.DOWNLOAD)
    router.add_post(batches, http_batches.create, name=Operation.CREATE)
    router.add_get(batches, http_batches.list_batches, name=Operation.LIST)
    router.add_get(batch, http_batches.retrieve, name=Operation.RETRIEVE)
    router.add_post(f"{batch}/cancel", http_batches.cancel, name=Operation.CANCEL)
    router.add_post(
        base + "/{endpoint:responses|chat/completions|embeddings|completions|moderations}",
        http_complete.complete,
        name=Operation.COMPLETE,
    )
    router.add_get("/_emulator/faults", control.show_faults)
    router.add_put("/_emulator/faults", control.arm_faults)
    router.add_delete("/_emulator/faults", control.disarm_faults)
    router.add_get("/_emulator/calls", control.show_calls)
