"""The `BatchProvider` that talks to OpenAI and to servers like it."""

from .provider import OpenAIBatchProvider, connect
from .settings import AuthStyle, OpenAISettings

__all__ = ["AuthStyle", "OpenAIBatchProvider", "OpenAISettings", "connect"]
