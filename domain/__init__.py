"""The rules of a batch: aggregate, events, values and errors, without I/O, clock or asyncio."""
