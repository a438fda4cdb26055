"""BLEU's tokenizers, all of them sacreBLEU's: which fits a text, and whether it can be used here.

Some need a package or a file of their own. Nothing is downloaded: an error says what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.errors import Seq2SeqError, unknown_name

TOKENIZERS = (
    "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "flores101", "flores200", "spm",
    "spBLEU-1K", "none",
)  # fmt: skip
DEFAULT = "13a"
BLIND = ("13a", "intl", "none")
"""Those that split at spaces and punctuation alone."""

_WORD = 5  # letters that a word of a text with spaces hardly has in these scripts
_KANA_SHARE = 10  # Japanese has kana for at least one in so many letters; Chinese has next to none
_HAN = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = r"\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_SCRIPTS = {
    "Korean": r"\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc",
    "Thai": r"\u0e00-\u0e7f",
    "Lao": r"\u0e80-\u0eff",
    "Khmer": r"\u1780-\u17ff",
    "Burmese": r"\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f",
    "Tibetan": r"\u0f00-\u0fff",
}
_USUAL = {"Japanese": ("ja-mecab", "ja"), "Korean": ("ko-mecab", "ko")}  # and sacreBLEU's extra


@dataclass(frozen=True)
class Choice:
    """The tokenizer that fits a text.

    Attributes:
        name: One of ``TOKENIZERS``.
        reason: Why it is not 13a, in words; empty where it is.
        unspaced: Whether the text has no spaces between words, so that 13a would take a whole line
            for one word.
    """

    name: str = DEFAULT
    reason: str = ""
    unspaced: bool = False

    def doubt(self, tokenizer: str) -> str:
        """What is wrong with another tokenizer for the text, in words; empty: nothing."""
        if not self.unspaced or tokenizer not in BLIND:
            return ""
        return f"{tokenizer} takes a whole line for one word: {self.reason}; {self.name} fits"


def tokenizer_for(references: Iterable[str]) -> Choice:
    """Chooses by the scripts of the letters: 13a where spaces separate the words.

    Most letters decide. Japanese is told from Chinese by its kana. Those that need a package are
    chosen only where it is installed.
    """
    text = "".join(references)
    if text.isascii():
        return Choice()
    letters, spaces = sum(map(str.isalpha, text)), sum(map(str.isspace, text))
    kana = _letters(_KANA, text)
    both = kana + _letters(_HAN, text)
    counts = {"Japanese" if _KANA_SHARE * kana > both else "Chinese": both}
    counts |= {name: _letters(script, text) for name, script in _SCRIPTS.items()}
    language = max(counts, key=lambda name: counts[name])
    unspaced = letters > _WORD * spaces
    if 2 * sum(counts.values()) <= letters or not (unspaced or language == "Korean"):
        return Choice()
    reason = f"{counts[language] / letters:.0%} of the references' letters are {language}"
    reason += ", without spaces between words" if unspaced else ""
    if language not in _USUAL:
        return Choice("zh" if language == "Chinese" else "char", reason, unspaced)
    usual, extra = _USUAL[language]
    if _is_usable(usual):
        return Choice(usual, reason, unspaced)
    if not unspaced:
        return Choice()
    return Choice("char", f"{reason} ({usual} needs: pip install 'sacrebleu[{extra}]')", unspaced)


def _letters(script: str, text: str) -> int:
    return sum(map(str.isalpha, "".join(re.findall(f"[{script}]+", text))))


def _is_usable(name: str) -> bool:
    try:
        check_tokenizer(name)
    except Seq2SeqError:
        return False
    return True


def check_tokenizer(name: str) -> None:
    """Checks that a tokenizer is there; a ``Seq2SeqError`` says what it needs."""
    bleu_metric(tokenize=name)


def bleu_metric(
    *,
    tokenize: str = DEFAULT,
    lowercase: bool = False,
    force: bool = False,
    effective_order: bool = False,
) -> Any:
    """SacreBLEU's BLEU with a tokenizer; ``force``: without a warning of tokenized translations.

    ``effective_order``: n-grams longer than the translation do not count, as sentences need it.

    Raises ``Seq2SeqError`` if the tokenizer is unknown, or needs what is not there.
    """
    from sacrebleu.metrics.bleu import BLEU

    if tokenize not in TOKENIZERS:
        raise Seq2SeqError(f"tokenize: {unknown_name(tokenize, TOKENIZERS)}")
    if tokenize not in BLEU.TOKENIZERS:
        raise _unusable(tokenize, "the installed sacreBLEU does not have it: update that")
    # The same under the name that stays, as sacreBLEU says in a warning.
    own = "flores101" if tokenize == "spm" else tokenize
    _check_model(tokenize, own)
    try:
        return BLEU(lowercase=lowercase, force=force, tokenize=own, effective_order=effective_order)
    except (ImportError, RuntimeError, AssertionError, OSError) as error:
        raise _unusable(tokenize, " ".join(str(error).split())) from error


def _unusable(name: str, reason: str) -> Seq2SeqError:
    return Seq2SeqError(f"tokenize: {name} cannot be used: {reason}")


def _check_model(name: str, own: str) -> None:
    """Says which file is missing, where sacreBLEU would download it now."""
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    if own not in SPM_MODELS:
        return
    url = SPM_MODELS[own]["url"]
    path = Path(SACREBLEU_DIR, "models", url.rpartition("/")[2])
    if not path.is_file():
        raise _unusable(
            name,
            f"its model, {path}, is not there; to download it: "
            f"curl --create-dirs -Lo '{path}' {url}",
        )
