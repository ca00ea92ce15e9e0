"""`python -m stins.schema`: writes the schema files anew from the message types."""

from pathlib import Path

from . import MESSAGES, as_text, file_name, generate


def main() -> None:
    """Writes each file beside this module and names it."""
    for message_type in MESSAGES:
        path = Path(__file__).with_name(file_name(message_type))
        path.write_text(as_text(generate(message_type)), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
