"""Names of types, made from what definitions call them."""

import re
from typing import Final

__all__ = ["is_type_name", "short_title", "type_name"]

_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_TITLE_WORDS_MAX: Final = 4


def is_type_name(text: str) -> bool:
    """Whether `text` can name a class in Python and in TypeScript."""
    return text.isascii() and text.isidentifier() and text[0].isalpha() and text[0].isupper()


def type_name(text: str) -> str:
    """`text` as the name of a type: `ticket-created` and `ticket created` are TicketCreated; empty when nothing of it can be."""
    words = _WORD.findall(text)
    name = "".join(word[0].upper() + word[1:] for word in words)
    return name if is_type_name(name) else ""


def short_title(title: object) -> str:
    """The name in a title of a few words; empty for one that is a sentence."""
    if not isinstance(title, str) or len(title.split()) > _TITLE_WORDS_MAX or title.rstrip().endswith("."):
        return ""
    return type_name(title)
