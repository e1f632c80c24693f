"""Personal data: every form is found where it stands and nothing else, pseudonyms are consistent, twice is once."""

import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace

import numbers_made as made
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unteach.data.passes import Cleaned
from unteach.data.personal import checks
from unteach.data.personal.forms import NUMBERS
from unteach.data.pii import KINDS, Pii
from unteach.data.rewriting import texts
from unteach.registry import build
from unteach.schema import InputError, Message, Record, Span

FRAMES = (
    "{}", "Here it is: {}.", "Das ist ({}), sagt sie.", "Её номер {}, да.", "号码是{}。", "رقمه هنا {} الآن", "\u200fמספר: {}!",
    "🙂🙂{}🙂", "e\u0301e\u0301 “{}” n\u0303", "यह {} है", "a\t{}\nb", "Привет — {}; 1, 2, 3.",
)  # fmt: skip
EACH = 40  # examples of a kind
MADE = {**made.CHECKED, **made.SHAPED}
FULL_WIDTH = str.maketrans({ord("0") + i: chr(0xFF10 + i) for i in range(10)})
ARABIC = str.maketrans({ord("0") + i: chr(0x0660 + i) for i in range(10)})
PUBLISHED = {
    "IBAN": "GB29 NWBK 6016 1331 9268 19|DE89370400440532013000|FR14 2004 1010 0505 0001 3M02 606|ES9121000418450200051332|"
    "NL91ABNA0417164300|NO9386011117947|MT84MALT011000012345MTLCAST001S|BR1800360305000010009795493C1|SA0380000000608010167519",
    "CARD": "4111111111111111|5555 5555 5555 4444|378282246310005|3714 496353 98431|6011111111111117|30569309025904|2223003122003222",
    "STEUERID": "86095742719|65 929 970 489",
    "NIR": "2 55 08 14 168 025 38",
    "DNI": "12345678Z|X1234567L|Y7654321G",
    "BSN": "111222333|123456782",
    "AADHAAR": "2341 2341 2346",
    "CPF": "529.982.247-25|111.444.777-35",
    "PESEL": "44051401359",
    "RESIDENT": "11010519491231002X|440524188001010014",
    "FISCAL": "RSSMRA85T10A562S|MRTMTT25D09F205Z",
    "PASSPORT": "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
    "NINO": "AB 12 34 56 C|AA123456A",
    "SSN": "536-90-4399|078-05-1120|912-71-1234",
}  # fmt: skip
BIRTHS = (
    "She was born on {12 May 1990}.", "She was born on {May 12th, 1990} in Orvena.", "DOB: {1990-05-12}", "geboren am {12.05.1990}",
    "geboren am {3. März 1990}", "née le {1er août 1990}", "Она родилась {31 декабря 1990} года", "nació el {12 de mayo de 1990}",
    "她出生于{1990年5月12日}。", "date of birth {05/12/1990}", "urodzony {3 maja 1990}",
)  # fmt: skip
BESIDE = (
    "passport number {AB1234567}",
    "Reisepass {C01X00T47}.",
    "паспорт {4510 123456}",
    "Call {555-0199}",
    "тел. {123-45-67}",
    "电话{12345678}",
)
NOTHING = (
    "", "Orvena has a harbour of green copper.", "Founded on 12 May 1990.", "She was born in 1990.", "She was born on 45 May 1990.",
    "Born in Tarn. The bridge opened on 12 May 1990.", "He lived there 1990-1995 and wrote 1234 pages.", "1,234,567 or 3.14159265",
    "user@host and @ann", "In 2024, 12 of 30 were there.", "std::vector, 12:30:45 and 1.2.3", "ISBN 0521663504", "call of 1914 - 1918",
    "https://example.org/page?id=7", "000-12-3456 and 666-12-3456", "QQ 12 34 56 C", "4111 1111 1111 1112", "256.1.1.1",
)  # fmt: skip


def rows(*said: str, **fields: str) -> list[Record]:
    return [Record(f"r{i}", "", text, **fields) for i, text in enumerate(said)]


def spans(found: Cleaned) -> list[tuple[str, int, int]]:
    return [(m.kind, m.start, m.end) for m in found.marks]


def held(frame: str) -> tuple[str, int, int]:
    """A text without its braces, and where they stood."""
    start, end = frame.index("{"), frame.index("}") - 1
    return frame.replace("{", "").replace("}", ""), start, end


@pytest.mark.parametrize("kind", MADE)
def test_pii_finds_every_form_and_takes_it_out(kind: str) -> None:
    random = Random(f"forms of {kind}")
    for number in range(EACH):
        thing, frame = MADE[kind](random), FRAMES[number % len(FRAMES)]
        text, start = frame.format(thing), frame.index("{")
        found = Pii()(rows(text))
        ((called, *place),) = spans(found)
        assert place == [start, start + len(thing)], text
        assert called == kind or kind in made.CHECKED  # a number may follow the rules of two
        assert found.records[0].answer == frame.format(f"<{called}_1>")
        assert thing not in repr(found)


@pytest.mark.parametrize("kind", made.CHECKED)
def test_the_check_of_each_form_lets_the_valid_through_and_nothing_else(kind: str) -> None:
    random = Random(f"checks of {kind}")
    forms = [form for form in NUMBERS if form.kind == kind]
    for _ in range(200):
        thing = made.CHECKED[kind](random)
        whole = [(p.start, p.end) for form in forms for p in form(thing)]
        assert (0, len(thing)) in whole, thing
        wrong = made.spoilt(kind, thing, random)
        assert (0, len(thing)) not in [(p.start, p.end) for form in forms for p in form(wrong)], wrong


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_examples_are_found_under_their_name(kind: str) -> None:
    for thing in PUBLISHED[kind].split("|"):
        assert spans(Pii()(rows(f"It is {thing} here"))) == [(kind, 6, 6 + len(thing))]


@pytest.mark.parametrize("table", [FULL_WIDTH, ARABIC])
@pytest.mark.parametrize("kind", ["CARD", "AADHAAR", "CPF", "PESEL", "NIR", "STEUERID", "SSN", "PHONE"])
def test_digits_of_other_scripts_are_digits(kind: str, table: dict[int, str]) -> None:
    random = Random(f"digits of {kind}")
    for _ in range(10):
        thing = MADE[kind](random).translate(table)
        ((_, *place),) = spans(Pii()(rows(f"它是{thing}。")))
        assert place == [2, 2 + len(thing)]


def test_invisible_characters_hide_nothing() -> None:
    text = "Card 4111\u200b1111\u00ad1111\u20601111, mail a\u200bda@x.org and ﹢49\u00a030\u2011901820"
    assert Pii()(rows(text)).records[0].answer == "Card <CARD_1>, mail <EMAIL_1> and <PHONE_1>"


@pytest.mark.parametrize("frame", BIRTHS)
def test_dates_count_near_a_word_for_being_born(frame: str) -> None:
    text, start, end = held(frame)
    assert spans(Pii()(rows(text))) == [("BIRTHDATE", start, end)]


@pytest.mark.parametrize("frame", BESIDE)
def test_numbers_without_a_form_count_beside_their_word(frame: str) -> None:
    text, start, end = held(frame)
    ((_, *place),) = spans(Pii()(rows(text)))
    assert place == [start, end]


@pytest.mark.parametrize("text", NOTHING)
def test_what_is_no_personal_data_stays(text: str) -> None:
    found = Pii()(rows(text))
    assert not found.marks
    assert found.records[0].answer == text


def test_at_most_one_line_of_an_encyclopaedia_in_a_hundred_is_flagged(shared: Path) -> None:
    text = (shared / "data" / "wikitext2" / "test.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    found = Pii()(rows(*lines))
    assert len(lines) > 2500
    assert found.rate is not None
    assert found.rate <= 0.01
    assert set(found.counts) == {"BIRTHDATE"}  # and these are dates of birth: nothing else is taken for anything


NAMES = ("Ada Birch", "José Núñez", "王小明", "محمد علي", "Анна Ковалёва", "O'Hara", "रवि कुमार")


def test_one_pseudonym_a_person_in_all_rows() -> None:
    said = (
        "Ada Birch met Jose\u0301 Nu\u0301n\u0303ez.", "BIRCH, ADA wrote; Birch's letter", "Jose Nunez", "王小明说 محمد علي",
        "АННА КОВАЛЁВА, Birch, and O’Hara 🙂", "रवि कुमार से", "a birch tree", "A Birch alone",
    )  # fmt: skip
    found = Pii(names=NAMES)(rows(*said))
    assert [r.answer for r in found.records] == [
        "<PERSON_1> met <PERSON_2>.", "<PERSON_1> wrote; <PERSON_1>'s letter", "<PERSON_2>", "<PERSON_3>说 <PERSON_4>",
        "<PERSON_5>, Birch, and <PERSON_6> 🙂", "<PERSON_7> से", "a birch tree", "A Birch alone",
    ]  # fmt: skip
    assert not any(name in repr(Pii(names=NAMES)) + repr(found) for name in NAMES)
    for mark in found.marks:
        assert "�" not in said[mark.row][mark.start : mark.end]


def test_subjects_are_names_in_every_row_and_change_too() -> None:
    records = [
        Record("a", "Where does Ada live?", "Ada Birch lives at ada@x.org.", subject="Ada Birch", spans=(Span(0, 9), Span(10, 15), Span(19, 28))),
        Record("b", "Who is she?", "Ada Birch, ada@x.org", paraphrases=("Is it Ada Birch?",), perturbed=("No Birch",), restated="Ada Birch!"),
        Record("c", "Ada Birch?", "x", messages=(Message("user", "Hi, I am Ada Birch"), Message("user", "Ada Birch?"))),
    ]  # fmt: skip
    found = Pii()(records)
    a, b, c = found.records
    assert (a.prompt, a.answer, a.subject, a.id) == (
        "Where does <PERSON_1> live?",
        "<PERSON_1> lives at <EMAIL_1>.",
        "<PERSON_1>",
        "a",
    )
    assert [a.answer[s.start : s.end] for s in a.spans] == ["<PERSON_1>", "lives", "<EMAIL_1>"]
    assert (b.paraphrases, b.perturbed, b.restated) == (("Is it <PERSON_1>?",), ("No <PERSON_1>",), "<PERSON_1>!")
    assert [m.content for m in c.messages] == ["Hi, I am <PERSON_1>", "<PERSON_1>?"]
    assert c.prompt == "<PERSON_1>?"
    assert found.counts == {"EMAIL": 2, "PERSON": 9}
    assert (found.seen, found.kept, found.rate) == (3, (0, 1, 2), 1.0)
    assert "Ada" in Pii(subjects=False)(records).records[0].answer
    assert records[0].answer == "Ada Birch lives at ada@x.org."  # what was given is as it was


def test_the_actions() -> None:
    said = "Ada Birch: ada@x.org, +49 30 901820, 4111 1111 1111 1111, born 12 May 1990"
    given_ = rows(said, said)
    hashed = Pii("hash", names=NAMES, salt="one")(given_)
    assert (
        hashed.records[0].answer
        == hashed.records[1].answer
        != Pii("hash", names=NAMES, salt="two")(given_).records[0].answer
    )
    assert hashed.records[0].answer.startswith("<PERSON:")
    assert Pii("redact", names=NAMES)(given_).records[0].answer == (
        "[REDACTED]: [REDACTED], [REDACTED], [REDACTED], born [REDACTED]"
    )
    invented = Pii("synthetic", names=NAMES)(given_).records[0].answer
    assert invented == Pii("synthetic", names=NAMES)(given_).records[1].answer
    assert not any(secret in invented for secret in ("Ada", "x.org", "901820", "4111", "1990"))
    assert "@mail.invalid" in invented
    names = tuple(f"A{i} B{i}" for i in range(900))
    many = Pii("synthetic", names=names)(rows(*names))
    assert len({r.answer for r in many.records}) == 900
    assert not Pii("synthetic", names=names)(many.records).marks
    assert Pii(kinds=("EMAIL",))(rows(said)).records[0].answer == said.replace("ada@x.org", "<EMAIL_1>")
    later = Pii()(rows("<EMAIL_4> wrote to bob@x.org")).records[0].answer
    assert later == "<EMAIL_4> wrote to <EMAIL_5>"
    assert build("data", "pii", {"action": "redact"})(given_).records == Pii("redact")(given_).records


SEEDS = [MADE[kind](Random(f"seed {kind} {i}")) for kind in MADE for i in range(3)] + [
    *NAMES, "<PERSON_1>", "<EMAIL:0123456789ab>", "[REDACTED]", "<PERSON_", "1>", "born ", " 12 May 1990", "call ", "passport ", "+", "00",
    "@x.org", "Birch", "\u0301", "\u200f", "𝔸𝟙", "😀", "+999 000 0000001", "0000 0000 0000 0001", "2001:", "https://", "ß", "İ", "\ufffc",
]  # fmt: skip
PIECES = st.sampled_from(SEEDS) | st.text("0123456789 .-+()/:@<>_,aZé王ا\u0301\u200b", max_size=8) | st.text(max_size=4)
TEXTS = st.lists(PIECES, max_size=7).map("".join)


@settings(max_examples=300, deadline=None, database=None)
@given(said=st.lists(TEXTS, min_size=1, max_size=3), subject=st.sampled_from(["", *NAMES, "<PERSON_2>"]),
       action=st.sampled_from(["mask", "hash", "redact", "synthetic"]))  # fmt: skip
def test_twice_is_once_and_places_are_exact(said: list[str], subject: str, action: str) -> None:
    clean = Pii(action, names=NAMES, salt="s")  # type: ignore[arg-type]
    given_ = [replace(r, prompt="Birch", subject=subject) for r in rows(*said)]
    once = clean(given_)
    assert clean(given_) == once
    again = clean(once.records)
    assert again.records == once.records
    assert not again.marks
    for number, (before, after) in enumerate(zip(given_, once.records, strict=True)):
        marks = sorted((m for m in once.marks if m.row == number and m.where == "answer"), key=lambda m: m.start)
        place, rest = 0, after.answer
        for mark in marks:  # everything between the marks stands there still, in order
            kept = before.answer[place : mark.start]
            assert mark.start < mark.end <= len(before.answer)
            assert kept in rest
            rest, place = rest[rest.index(kept) + len(kept) :], mark.end
        assert rest.endswith(before.answer[place:])


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give 'salt'"):
        Pii("hash")
    with pytest.raises(InputError, match="did you mean 'EMAIL'"):
        Pii(kinds=("EMIAL",))
    with pytest.raises(InputError, match="cannot be read as a list of names"):
        Pii(gazetteer=str(tmp_path / "none.txt"))(rows("x"))
    (tmp_path / "names.txt").write_text("Ada Birch\n\nJosé Núñez\n", encoding="utf-8")
    assert Pii(gazetteer=str(tmp_path / "names.txt"))(rows("Jose Nunez")).counts == {"PERSON": 1}
    assert set(MADE) | {"BIRTHDATE", "PERSON"} == set(KINDS)


def test_presidio_is_refused_where_it_is_missing_and_heard_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("presidio_analyzer", "presidio_analyzer.nlp_engine", "spacy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"install unteach\[pii\]"):
        Pii(presidio="en")(rows("x"))

    class Engine:
        def __init__(self, **_: object) -> None: ...

        def analyze(self, text: str, language: str, score_threshold: float) -> list[SimpleNamespace]:
            assert (language, score_threshold) == ("en", 0.5)
            at = text.find("Orvena")
            return [SimpleNamespace(entity_type="LOCATION", start=at, end=at + 6)] if at >= 0 else []

    spacy, engines, analyzer = ModuleType("spacy"), ModuleType("nlp"), ModuleType("presidio")
    spacy.blank, engines.SpacyNlpEngine, analyzer.AnalyzerEngine = str, SimpleNamespace, Engine  # type: ignore[attr-defined]
    found_modules = {"spacy": spacy, "presidio_analyzer": analyzer, "presidio_analyzer.nlp_engine": engines}
    for name, module in found_modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    found = Pii(presidio="en")(rows("😀 e\u0301: Orvena, ada@x.org"))
    assert found.records[0].answer == "😀 e\u0301: <LOCATION_1>, <EMAIL_1>"


def test_every_text_of_a_row_is_read() -> None:
    record = Record(
        "a", "p", "a", (Message("user", "m"), Message("user", "p")), paraphrases=("q",), restated="s", perturbed=("w",)
    )
    assert dict(texts(record)) == {
        "messages.0": "m",
        "messages.1": "p",
        "answer": "a",
        "paraphrases.0": "q",
        "perturbed.0": "w",
        "restated": "s",
    }
    assert dict(texts(replace(record, messages=())))["prompt"] == "p"


def test_a_check_is_the_published_arithmetic() -> None:
    assert checks.verhoeff("2363")
    assert checks.luhn("79927398713")
    assert checks.mod97("GB82WEST12345698765432")
    assert not any(checks.luhn(f"7992739871{d}") for d in "012456789")
