"""The `BatchProvider` that talks to OpenAI and to servers like it.

What makes the calls is in `provider`: it imports aiohttp, which settings do without.
"""

from .dialect import Dialect
from .settings import AuthStyle, OpenAISettings

__all__ = ["AuthStyle", "Dialect", "OpenAISettings"]
