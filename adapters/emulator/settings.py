"""What a user may set on the emulator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, optional

from .dialects import Dialect, manners_of
from .faults import Fault
from .manners import Manners


@frozen(kw_only=True)
class EmulatorSettings:
    """How the emulator listens, how fast its batches run and what they answer.

    Durations are seconds and may be fractions. A batch keeps the durations it was created with,
    so restarting with other settings does not bend the life of the batches already there.
    """

    dialect: Dialect = field(default=Dialect.OPENAI, converter=Dialect)
    """Whose spelling of the API is spoken."""

    deployments: Mapping[str, str] = field(factory=dict)
    """Names that requests may give as their model, and the model that answers each."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback exposes the emulator to the network."""

    port: int = field(default=0, validator=ge(0))
    """TCP port; 0 takes a free one."""

    data_dir: Path | None = None
    """Where files and batches are kept; None is a temporary directory, removed at the end."""

    validating: float = field(default=1.0, validator=ge(0))
    """Seconds from create to the verdict on the input file."""

    in_progress: float = field(default=3.0, validator=ge(0))
    """Seconds in which the requests of a batch are worked off, evenly spread."""

    finalizing: float = field(default=0.5, validator=ge(0))
    """Seconds from the last request to the output files."""

    cancelling: float = field(default=1.0, validator=ge(0))
    """Seconds from a cancel call to status `cancelled`; OpenAI takes up to ten minutes."""

    completion_window: float = field(default=86_400.0, validator=ge(0))
    """Seconds from create until an unfinished batch expires; clients still ask for `24h`."""

    max_requests: int = field(default=50_000, validator=ge(1))
    """Requests that one input file may hold."""

    max_input_bytes: int = field(default=209_715_200, validator=ge(1))
    """Bytes that one batch input file may hold; larger ones fail at batch validation."""

    max_upload_bytes: int = field(default=512 * 1024 * 1024, validator=ge(1))
    """Bytes that any upload may hold; larger ones are refused with 413."""

    model_prefixes: tuple[str, ...] = (
        "babbage-",
        "chatgpt-",
        "codex-",
        "dall-e-",
        "davinci-",
        "ft:",
        "gpt-",
        "o1",
        "o3",
        "o4-",
        "omni-moderation-",
        "sora-",
        "text-embedding-",
        "text-moderation-",
    )
    """Beginnings of the model names that exist, beside deployments; all others are
    `model_not_found`."""

    unknown_file: Literal["failed", "refused"] = "failed"
    """A create with an unknown input file: OpenAI answers 200 and the batch fails (since 2025),
    or refuses the create with 400 (2024)."""

    answer_bytes: int | None = field(default=None, validator=optional(ge(0)))
    """Bytes of text in each text answer; None is a few sentences."""

    fail_every: int | None = field(default=None, validator=optional(ge(1)))
    """Each N-th request of an input file fails with an HTTP 500 line; None fails none."""

    seed: int = 0
    """Changes the order in which result lines stand in their files."""

    bad_keys: tuple[str, ...] = ("sk-invalid*",)
    """API keys that are answered 401, as shell patterns; a blank key always is."""

    faults: tuple[Fault, ...] = ()
    """Faults armed from the start; see `Fault`."""

    def knows(self, model: str) -> bool:
        """Tell whether a request may name this model."""
        return model in self.deployments or model.startswith(self.model_prefixes)

    @property
    def manners(self) -> Manners:
        """What the dialect does in its own way."""
        return manners_of(self.dialect)
