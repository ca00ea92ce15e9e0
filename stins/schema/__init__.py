"""JSON Schema (2020-12) of each message, as files beside this module: `schema` reads one, `generate` makes them."""

from importlib import resources
from typing import Final, TypeAlias

import msgspec

from ..messages import Data, Header, SeriesEnd, SeriesStart

__all__ = ["MESSAGES", "Schema", "as_text", "file_name", "generate", "schema"]

Schema: TypeAlias = dict[str, object]

#: The messages that have a schema, by their `message_type`.
MESSAGES: Final[dict[str, type[Header]]] = {"series-start": SeriesStart, "data": Data, "series-end": SeriesEnd}


def file_name(message_type: str) -> str:
    """The name of the message's file in this package."""
    return f"{message_type}.schema.json"


def schema(message_type: str) -> Schema:
    """The schema of a message, as shipped. Raises KeyError for an unknown `message_type`."""
    MESSAGES[message_type]
    text = resources.files(__name__).joinpath(file_name(message_type)).read_text(encoding="utf-8")
    return msgspec.json.decode(text, type=Schema)


def generate(message_type: str) -> Schema:
    """The schema made anew from the message's type: the strict form, which refuses unknown keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:stins:1:{message_type}",
        **msgspec.json.schema(MESSAGES[message_type]),
    }


def as_text(content: Schema) -> str:
    """How a schema stands in its file: two spaces a level, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"
