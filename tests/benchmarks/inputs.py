"""Request files of any number of lines, of the size that lines have in practice."""

import json
from pathlib import Path

LINE_BYTES = 2_600
ANSWER_BYTES = 1_800
"""Bytes of text in each answer of the emulator; with what is around it a line of about 3 kB."""
_SENTENCE = "The quick survey of field notes asks what was seen, where, when and by whom. "


def write_requests(path: Path, count: int, line_bytes: int = LINE_BYTES) -> None:
    """Write `count` request lines of about `line_bytes` each."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = f"Note {number}: " + _SENTENCE * (line_bytes // len(_SENTENCE))
            file.write(request_line(f"request-{number:06}", text[: line_bytes - 150]))


def request_line(custom_id: str, text: str) -> str:
    """One request, with its newline."""
    body = {"model": "gpt-5.4-mini", "input": text, "max_output_tokens": 20_000}
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body}
    return json.dumps(request) + "\n"
