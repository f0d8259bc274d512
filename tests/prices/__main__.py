"""`make prices`: copy OpenAI's prices from the installed genai-prices."""

from batchtrail.adapters.prices.copied import PATH

from .copying import made

if __name__ == "__main__":
    PATH.write_bytes(made())
