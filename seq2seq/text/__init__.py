"""Text: tokenizing and cleaning."""

from seq2seq.errors import printable


def well_formed(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, become U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shown(text: str, longest: int) -> str:
    """A text for a terminal: what would command it escaped, and cut where it is long."""
    cut = text if len(text) <= longest else text[: longest - 3] + "..."
    return printable(cut).replace("\t", r"\t").replace("\n", r"\n")
