"""The `BatchProvider` that talks to OpenAI and to servers like it."""

from .dialect import Dialect
from .provider import OpenAIBatchProvider, connect
from .settings import AuthStyle, OpenAISettings

__all__ = ["AuthStyle", "Dialect", "OpenAIBatchProvider", "OpenAISettings", "connect"]
