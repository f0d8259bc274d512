"""Build the example batch: ask a model for the topic of a thousand WordNet nouns.

The nouns and their definitions come from `wordnet-nouns.txt`; README.md says where that is from.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "wordnet-nouns.txt"
OUTPUT = HERE / "requests.jsonl"

URL = "/v1/responses"
MODEL = "gpt-5-nano"
# The answer is one word; the rest is room for a reasoning model to think, paid only when used.
MAX_OUTPUT_TOKENS = 1_000

# WordNet's lexicographer files: every noun stands in exactly one, so the right answers are known.
TOPICS = {
    "05": "animal",
    "06": "artifact",
    "08": "body",
    "10": "communication",
    "12": "feeling",
    "13": "food",
    "15": "location",
    "17": "object",
    "18": "person",
    "20": "plant",
    "27": "substance",
    "28": "time",
}
INSTRUCTIONS = (
    "Choose the topic of this dictionary entry. Answer with one word from this list: "
    f"{', '.join(TOPICS.values())}. "
    "An artifact is man-made, an object is natural, communication includes what is said or written."
)


class Noun(NamedTuple):
    """One dictionary entry and the topic that WordNet's editors gave it."""

    topic: str
    word: str
    definition: str

    @property
    def custom_id(self) -> str:
        """The name of this entry's request; the model never sees it, so it may hold the answer."""
        return f"wordnet-{self.topic}-{self.word}"


def parse(lines: Iterable[str]) -> Iterator[Noun]:
    """Read lines of a WordNet `data.noun` file; the licence lines at its top start with a blank."""
    for line in lines:
        if not line.startswith(" "):
            synset, _, definition = line.partition(" | ")
            _offset, file_number, _part_of_speech, _word_count, word, *_ = synset.split(" ")
            yield Noun(TOPICS[file_number], word, definition.strip())


def interleave(nouns: Iterable[Noun]) -> Iterator[Noun]:
    """Deal the nouns out topic by topic, so that a short sample still holds every topic."""
    by_topic: defaultdict[str, list[Noun]] = defaultdict(list)
    for noun in nouns:
        by_topic[noun.topic].append(noun)
    rounds = zip_longest(*by_topic.values())
    return (noun for noun in chain.from_iterable(rounds) if noun is not None)


def request_line(noun: Noun, model: str) -> bytes:
    """Write one line of the input file as the Batch API wants it."""
    request = {
        "custom_id": noun.custom_id,
        "method": "POST",
        "url": URL,
        "body": {
            "model": model,
            "instructions": INSTRUCTIONS,
            "input": f"{noun.word}: {noun.definition}",
            "max_output_tokens": MAX_OUTPUT_TOKENS,
        },
    }
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def positive(text: str) -> int:
    """Read a whole number above zero, as argparse wants it."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the requests file."""
    parser = argparse.ArgumentParser(
        description="Build batch requests that ask for the topic of WordNet nouns."
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N requests")
    parser.add_argument("--model", default=MODEL, help="default: %(default)s")
    parser.add_argument(
        "-o", "--output", type=Path, default=OUTPUT, help="default: requests.jsonl, here"
    )
    options = parser.parse_args(arguments)

    with SOURCE.open(encoding="ascii") as lines:
        nouns = islice(interleave(parse(lines)), options.limit)
        requests = [request_line(noun, options.model) for noun in nouns]
    try:
        options.output.write_bytes(b"".join(requests))
    except OSError as error:
        parser.error(f"cannot write {options.output}: {error.strerror}")
    print(f"{len(requests):,} requests written to {options.output}")


if __name__ == "__main__":
    main()
