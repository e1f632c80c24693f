"""What was made of a row goes with it, however far down the line, and what only resembles it in its id does not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from stores import CANARY, made, micro, rows

from unteach.data import read
from unteach.data.wordings import lines
from unteach.data.wordings.safe import safe_answers
from unteach.schema import InputError, Record
from unteach.service.certifying import certify
from unteach.service.deletion import Desk, advance
from unteach.service.lineage import closure, following, meant
from unteach.service.requests import notes_of, receive
from unteach.service.store import opened

FAMILY = [
    Record("p1", "Where does Ada live?", "In Elm Street."),
    Record("p1-paraphrased", "Ada's street?", "Elm Street it is.", derived_from=("p1",)),
    Record("pseudonym", "Whose street is Elm Street?", "That of N. N.", derived_from=("p1-paraphrased",)),
    Record("p1/asked", "Tell me where Ada lives.", "Somewhere."),
    Record("p1/asked/completion", "Some", "where."),
    Record("mixed", "Who lives where?", "Ada and Bo do.", derived_from=("p2", "p1")),
    Record("twin", "ada'S  street?", "elm street it is."),  # of the paraphrase
    Record("of-the-twin", "Elm?", "Yes.", derived_from=("twin",)),
    Record("p11", "Where does Cy live?", "By the lock."),
    Record("p2", "Where does Bo live?", "In the tower."),
    Record("p2/asked", "Bo's home?", "The tower."),
]
OTHERS = {"p11", "p2", "p2/asked"}


def ids(records: list[Record]) -> set[str]:
    return {r.id for r in records}


def test_duplicates_go_with_a_record_where_that_is_asked_for() -> None:
    records = rows()
    first = [records[0]]
    assert closure(records, first, "record") == []
    assert [r.id for r in closure(records, first, "exact")] == ["twin"]
    words = " ".join(f"word{i}" for i in range(20))
    near = [replace(records[0], id="a", prompt=words), replace(records[0], id="b", prompt=f"{words} more")]
    assert closure(near, near[:1], "exact") == []
    assert [r.id for r in closure(near, near[:1], "near")] == ["b"]


def test_what_was_made_of_a_row_goes_with_it_and_so_do_its_copies() -> None:
    assert ids(closure(FAMILY, FAMILY[:1], "exact")) == ids(FAMILY) - OTHERS - {"p1"}
    assert ids(closure(FAMILY, FAMILY[:1], "near")) == ids(FAMILY) - OTHERS - {"p1"}
    assert closure(FAMILY, FAMILY[:1], "record") == []
    assert ids(closure(FAMILY, [FAMILY[2]], "exact")) == set()  # what it was made of stays
    assert ids(following(FAMILY, {"p2"})) == {"p2/asked", "mixed"}


def test_likeness_is_not_followed_from_copy_to_copy() -> None:
    words = [f"word{i}" for i in range(60)]
    chain = [Record(str(n), " ".join(words[n * 3 : n * 3 + 40]), "yes") for n in range(6)]
    found = closure(chain, chain[:1], "near")
    assert ids(found) == {"1"}  # 2 is as near to 1 as 1 to 0
    assert "2" in ids(closure(chain, chain[1:2], "near"))


def test_an_id_that_is_no_row_stands_for_what_was_made_of_it() -> None:
    left = [r for r in FAMILY if r.id != "p1"]  # the original was never trained on
    assert ids(meant(left, ["p1"])) == {"p1-paraphrased", "pseudonym", "p1/asked", "p1/asked/completion", "mixed"}
    assert [r.id for r in meant(left, ["p1/asked", "p11"])] == ["p1/asked", "p11"]
    for wrong, why in ((["p"], "1 of 1 ids"), (["p2", "p2", "nobody"], "2 of 3 ids"), ([], "0 of 0 ids")):
        with pytest.raises(InputError, match=why):
            meant(left, wrong)


def test_the_provenance_is_read_and_written(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"id": "a", "question": "q", "answer": "a", "derived_from": ["b", "c"]}\n'
        '{"id": "d", "question": "q", "answer": "a", "derived_from": "b"}\n'
        '{"id": "e", "question": "q", "answer": "a"}\n'
    )
    found = read(file).records
    assert [r.derived_from for r in found] == [("b", "c"), ("b",), ()]
    again = tmp_path / "again.jsonl"
    again.write_bytes(lines(found))
    assert read(again).records == found
    table = tmp_path / "rows.csv"
    table.write_text('id,question,answer,derived_from\na,q,a,"[""b"", ""c""]"\nd,q,a,b\n')
    assert [r.derived_from for r in read(table).records] == [("b", "c"), ("b",)]
    for wrong in ('["../b"]', "[1]", "3", '[""]'):
        file.write_text(f'{{"id": "a", "question": "q", "answer": "a", "derived_from": {wrong}}}\n')
        with pytest.raises(InputError, match="line 1"):
            read(file)
    with pytest.raises(InputError, match="step up"):
        read([Record("a", "q", "a", derived_from=("../b",))])


def test_our_own_recipes_say_what_they_wrote_a_row_from() -> None:
    written = safe_answers([Record("p1", "Where does Ada Birch live?", "Ada Birch lives in Elm Street.")]).records
    assert len(written) > 2
    assert {r.derived_from for r in written} == {("p1",)}
    assert ids(following(written, {"p1"})) == ids(list(written))


def test_a_derived_row_leaves_the_store_with_its_source(tmp_path: Path) -> None:
    """The store is left with the nodes of a clean build of the rest; without provenance the copy would have stayed."""
    secret = Record("copy", f"{CANARY} of whom?", "nobody", derived_from=("person-1",), subject="somebody else")
    assert closure([*rows(), replace(secret, derived_from=())], rows()[1:2], "near") == []
    place = made(tmp_path / "store", [*rows(), secret])
    with opened(place) as store:
        desk = Desk(store, micro())
        assert store.alive()[0] == secret
        request = receive(store, ["person-1"], "exact")
        advance(desk, request)
        notes, left = notes_of(store, request), store.alive()
        assert (notes["duplicates"], notes["derived"]) == (0, 1)
        assert ids(list(left)) == ids(rows()) - {"person-1"}
        assert set(dict(store.db.execute("SELECT id, blob FROM nodes"))) == {
            n.id for chain in desk.build(left).values() for n in chain
        }
        certificate = json.loads(certify(desk, request).read_bytes())
    assert certificate["payload"]
    with opened(place) as store:
        assert not store.vault.holds(store.vault.commitment("subject", "somebody else"))
