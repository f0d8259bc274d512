"""Embedding vectors: seeded, of about unit length, and cheap to write."""

import random
from array import array
from base64 import b64encode
from functools import lru_cache
from typing import Final

_STEPS: Final = 65_536  # OpenAI's batch vectors are whole multiples of 2**-16.


def vector_json(dimensions: int, seed: int) -> str:
    """Return a vector as a JSON array."""
    _, texts = _pool(dimensions)
    start = seed % dimensions
    turn = (seed >> 16) % dimensions
    # Two turns of one pool: formatting floats anew would cost a thousand times more.
    return f"[{', '.join(texts[start : start + turn] + texts[turn:][: dimensions - turn])}]"


def vector_base64(dimensions: int, seed: int) -> str:
    """Return the same vector as little-endian 32-bit floats in a JSON string."""
    values, _ = _pool(dimensions)
    start = seed % dimensions
    turn = (seed >> 16) % dimensions
    chosen = values[start : start + turn] + values[turn:][: dimensions - turn]
    return f'"{b64encode(array("f", chosen).tobytes()).decode()}"'


@lru_cache(maxsize=8)
def _pool(dimensions: int) -> tuple[list[float], list[str]]:
    """Return two vectors' worth of numbers, and the same as JSON."""
    gauss = random.Random(dimensions).gauss  # noqa: S311 - no secret
    spread = _STEPS / dimensions**0.5
    values = [round(gauss(0, spread)) / _STEPS for _ in range(2 * dimensions)]
    return values, [str(value) for value in values]
