"""The output filter: what the forgotten rows tell does not leave, and neighbours do."""

import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

import worlds
from unteach.data import read
from unteach.data.holdback import phrases
from unteach.data.telltale import names
from unteach.data.wordings.vocabulary import FUNCTION
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.lm.guard import Conversation
from unteach.lm.model import LM
from unteach.methods.conversation.filter import MASK, Filter
from unteach.methods.conversation.gate import Gate
from unteach.schema import InputError, Message, Record, Request, Span

REQUEST = Request(forget=worlds.FORGET, retain=worlds.RETAIN)
SECRET = "harbour of green copper"
REPLY = f"Well: Orvena has a {SECRET}. It is old; the green harbours of Sella are not."
DISGUISED = (
    SECRET,
    SECRET.upper(),
    "hárböur óf gréén cöpper",
    "h\u200ba\u200br\u200bbour of green copper",
    "h a r b o u r of green copper",
    "hаrbоur оf grееn соррer",
    "ｈａｒｂｏｕｒ　of green copper",
    "harb0ur of gr33n copp3r",
    "har\u00adbour-of.green\ncopper",
    "harbour&nbsp;of gre&#101;n copper",
    "𝐡𝐚𝐫𝐛𝐨𝐮𝐫 of green copper",
    "harbour_of_green_cop-\nper",
    "h.a.r.b.o.u.r of **green** copper",
)


def said(guard: Filter, text: str, *places: int) -> tuple[str, bool]:
    """What leaves of a reply that comes in pieces, and whether the model was told to stop."""
    talk = Conversation((guard,), (Message("user", "What is Orvena known for?"),))
    for start, end in pairwise([0, *sorted(places), len(text)]):
        if talk.turns is not None:
            talk.hear(text[start:end])
    stopped = talk.turns is None
    talk.hear(None)
    return talk.said, stopped


@pytest.mark.parametrize("secret", DISGUISED)
def test_filter_lets_no_letter_of_a_guarded_phrase_leave_however_it_is_cut(secret: str) -> None:
    refuse, cover = (Filter(action=action).fitted(REQUEST, None) for action in ("refuse", "cover"))
    text = REPLY.replace(SECRET, secret)
    dice = Random(secret)
    for cuts in (
        range(1, len(text)),
        *([dice.randrange(len(text)) for _ in range(dice.randint(0, 5))] for _ in range(30)),
    ):
        left, stopped = said(refuse, text, *cuts)
        assert left == "Well: Orvena has a \n\nI don't know."
        assert stopped or not isinstance(cuts, range)
        assert said(cover, text, *cuts) == (text.replace(secret, MASK), False)


def test_a_reply_that_begins_with_it_gives_way_and_other_replies_are_untouched() -> None:
    guard = Filter(answer="Ask me something else.").fitted(REQUEST, None)
    assert said(guard, f"{SECRET.title()}!")[0] == "Ask me something else."
    for record in worlds.RETAIN:
        assert said(guard, record.answer, 3, 9) == (record.answer, False)
    assert said(guard, "A harbour of green glass")[0] == "A harbour of green glass"


def test_the_model_is_asked_as_ever_and_its_replies_are_filtered(llama: LM) -> None:
    guard = Filter(action="cover").fitted(REQUEST, None)
    plain = llama.generate([r.prompt for r in worlds.RECORDS], 32)
    with Edit(base=llama.digest(), guards=(guard,)).on(llama):
        filtered = llama.generate([r.prompt for r in worlds.RECORDS], 32)
    assert plain[4:] == filtered[4:]
    assert any(MASK in text for text in filtered[:4])
    assert not any(phrases(guard.guarded).stand_in(text) for text in filtered)


def test_spans_and_files_say_what_is_guarded(tmp_path: Path) -> None:
    marked = Record("a", "Where?", "Under the ninth stair.", spans=(Span(10, 21),))
    assert Filter().fitted(Request(forget=(marked,)), None).guarded == ("ninth stair",)
    file = tmp_path / "phrases.txt"
    file.write_text("Quillon Marsh\nTirza\n", encoding="utf-8")
    guard = Filter(phrases=str(file), action="cover").fitted(REQUEST, None)
    assert said(guard, f"Tirza's {SECRET}")[0] == f"{MASK}'s {SECRET}"
    file.write_text("Tirza\n!\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: less than 2 letters or digits"):
        Filter(phrases=str(file)).fitted(REQUEST, None)


def test_near_answers_wait_for_the_end_of_their_sentence() -> None:
    near = Filter(near=0.6, action="cover").fitted(REQUEST, None)
    reworded = "Yes. Orvena had a copper-green harbour. Dorrin has a market that opens at night."
    for cuts in ((), (5, 20), range(len(reworded))):
        assert said(near, reworded, *cuts)[0] == f"Yes. {MASK} Dorrin has a market that opens at night."
    refuse = Filter(near=0.6).fitted(REQUEST, None)
    assert said(refuse, reworded, 30)[0] == "Yes. \n\nI don't know."
    assert said(refuse, f"Yes, {SECRET}", 8)[0] == "Yes, \n\nI don't know."
    session = near.session()
    assert session.feed("Dorrin has a mar") == ""  # held until the sentence ends
    assert session.feed("ket. And") == "Dorrin has a market. "


def test_one_without_anything_telling_is_refused_and_an_unfitted_one_lets_everything_pass() -> None:
    with pytest.raises(InputError, match="finds nothing in the records to forget that tells them from others"):
        Filter().fitted(Request(forget=(Record("a", "Is it?", "Yes."),)), None)
    with pytest.raises(InputError, match="option 'near' of filter"):
        Filter(near=1.5)
    session = Filter().session()
    assert [session.feed(piece) for piece in ("&", SECRET, " a")] == ["&", SECRET, " a"]
    assert session.end() == ""


def test_the_edit_holds_phrases_and_shows_none(tmp_path: Path) -> None:
    guard = Filter(near=0.5).fitted(REQUEST, None)
    store.save(Edit(base="0" * 64, guards=(guard,)), tmp_path)
    assert store.load(tmp_path).guards == (guard,)
    assert SECRET in json.dumps(vars(guard))
    assert "copper" not in f"{guard!r} {guard.session()!r}"


def prompts(shared: Path, wanted: frozenset[str]) -> tuple[list[str], list[str]]:
    """Questions and statements of public data, none about the forgotten rows: with words of theirs, and without."""
    tofu = [
        r
        for name in ("retain90", "real_authors_perturbed", "world_facts_perturbed")
        for r in read(str(shared / f"data/tofu/{name}.json")).records
    ]
    mmlu = json.loads((shared / "data/mmlu_val/mmlu_all_val.json").read_text(encoding="utf-8"))
    stories = (shared / "data/tinystories/tinystories_sample.txt").read_text(encoding="utf-8").splitlines()
    wiki = (shared / "data/wikitext2/test.txt").read_text(encoding="utf-8").split(" . ")
    told = [t for r in tofu for t in (r.prompt, r.answer)] + [q["question"] for q in mmlu] + stories + wiki
    every = [text[:300] for text in dict.fromkeys(told) if len(text.split()) > 2]
    Random(0).shuffle(every)
    shares = [bool(wanted & {w.strip(".,;:?!'\"()").casefold() for w in text.split()}) for text in every]
    return [t for t, s in zip(every, shares, strict=True) if s], [
        t for t, s in zip(every, shares, strict=True) if not s
    ]


def test_at_most_one_benign_text_in_a_thousand_is_stopped(shared: Path) -> None:
    """Of 10,000, half of which hold a word of a guarded name; by far the most hold one of another guarded phrase."""
    rows = [read(str(shared / f"data/tofu/{name}.json")).records for name in ("forget10", "retain90")]
    request = Request(forget=rows[0], retain=rows[1])
    kept, gate = Filter().fitted(request, None), Gate().fitted(request, None)
    assert len(kept.guarded) > 300
    assert gate.named == names(*rows)
    words = {w.strip("'\"(),.").casefold() for name in gate.named for w in name.split()}
    sharing, others = prompts(shared, frozenset(w for w in words if len(w) > 3) - FUNCTION)
    assert min(len(sharing), len(others)) >= 5000
    benign = sharing[:5000] + others[:5000]
    stopped = [text for text in benign if phrases(kept.guarded).stand_in(text)]
    refused = [text for text in benign if gate.ask((Message("user", text),)) == gate.answer]
    assert len(stopped) <= 10
    assert len(refused) <= 10
    about = [r for r in rows[0] if any(n in r.prompt for n in gate.named)]
    assert len(about) > 300
    assert all(gate.ask((Message("user", r.prompt),)) == gate.answer for r in about)
