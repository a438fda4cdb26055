"""Text: tokenizing and cleaning."""

import re
from collections.abc import Iterable

from seq2seq.errors import printable

# Thai, Lao, Burmese, Khmer; kana; Chinese characters
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)


def is_unspaced(lines: Iterable[str]) -> bool:
    """Whether most letters are of scripts that put no spaces between words."""
    text = "".join(lines)
    letters = sum(map(str.isalpha, text))
    return letters > 0 and 2 * len(_UNSPACED.findall(text)) > letters


def well_formed(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shown(text: str, longest: int) -> str:
    """A text for a terminal: what would command it escaped, and cut where it is long."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return printable(cut).replace("\t", r"\t").replace("\n", r"\n")
