"""OpenAI's batch prices as one release of genai-prices lists them, without importing it.

`make prices` writes the copy by asking the package, and a test compares the two. The package
is under the MIT licence, Copyright (c) Pydantic Services Inc. 2025 to present.
"""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import get_data
from typing import Literal, NamedTuple

from msgspec import Struct, json

from ...domain.costs import ModelPrice

EMBEDDINGS = "/v1/embeddings"
PATH = Path(__file__).with_name("openai.json")


class Rule(NamedTuple):
    """A condition on the name of a model, in the words of the package."""

    kind: Literal["equals", "starts_with", "contains", "regex"]
    text: str

    def fits(self, name: str) -> bool:
        """Whether a name in lower case meets the condition."""
        match self.kind:
            case "equals":
                return name == self.text
            case "starts_with":
                return name.startswith(self.text)
            case "contains":
                return self.text in name
            case "regex":
                return re.search(self.text, name) is not None


class CopiedModel(Struct, frozen=True):
    """A model under each name that fits one of its rules."""

    rules: tuple[Rule, ...]
    batch: ModelPrice | None
    embeddings: ModelPrice | None

    def price(self, endpoint: str) -> ModelPrice | None:
        """The batch price; None where the table has none."""
        return self.embeddings if endpoint == EMBEDDINGS else self.batch


class CopiedPrices(Struct, frozen=True):
    """The table of a release; of its models, the first that fits a name counts."""

    release: str
    source: str
    models: tuple[CopiedModel, ...]

    def find(self, name: str) -> CopiedModel | None:
        """The model of this name. None says nothing: the package may still know a spelling."""
        name = name.lower()
        for model in self.models:
            if any(rule.fits(name) for rule in model.rules):
                return model
        return None


@cache
def copied_prices() -> CopiedPrices | None:
    """The copy, if exactly the release that it was made from is installed."""
    content = get_data(__name__, PATH.name)  # we may have been imported from an archive
    assert content is not None
    copied = json.decode(content, type=CopiedPrices)
    return copied if is_installed(copied.release) else None


def is_installed(release: str) -> bool:
    """Whether this release of genai-prices would be imported, as what it was installed with says.

    Any doubt is a no. `importlib.metadata` would take 20 ms to read the same name.
    """
    found = find_spec("genai_prices")
    if found is None or found.origin is None:
        return False
    beside = Path(found.origin).parent.parent
    return (beside / f"genai_prices-{release}.dist-info").is_dir()
