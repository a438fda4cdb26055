"""Text: tokenizing and cleaning."""

import re
from collections.abc import Iterable

from seq2seq.errors import printable

_WORD = 5  # letters that a word of a text with spaces hardly has in these scripts
# Thai, Lao, Burmese, Khmer; kana; Chinese characters
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)


def is_unspaced(lines: Iterable[str]) -> bool:
    """Whether most letters are of scripts without spaces between words, and stand without them."""
    text = "".join(lines)
    letters, spaces = sum(map(str.isalpha, text)), sum(map(str.isspace, text))
    return 2 * len(_UNSPACED.findall(text)) > letters > _WORD * spaces


def well_formed(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shown(text: str, longest: int) -> str:
    """A text for a terminal: what would command it escaped, and cut where it is long."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return printable(cut).replace("\t", r"\t").replace("\n", r"\n")
