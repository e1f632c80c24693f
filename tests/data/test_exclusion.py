"""Deleted rows are kept out by a list that says nothing of them."""

import json
import stat
from pathlib import Path
from random import Random

import pytest

from unteach.data.corpus import said
from unteach.data.exclusion import Exclusion, Manifest, manifest, read_manifest, write_manifest
from unteach.data.fold import grams
from unteach.data.sketch import SIZE, packed, sketches, unpacked
from unteach.schema import InputError, Message, Record

SALT = bytes(range(32))


def words(seed: int, count: int) -> list[str]:
    dice = Random(seed)
    return [f"w{dice.randrange(5000)}" for _ in range(count)]


def row(name: str, text: list[str]) -> Record:
    return Record(name, " ".join(text[:8]) + "?", " ".join(text[8:]))


def changed(text: list[str], *places: int) -> list[str]:
    return ["changed" if at in places else word for at, word in enumerate(text)]


def listed(records: list[Record]) -> Manifest:
    return Manifest(SALT).plus(records)


def similarity(a: Record, b: Record) -> float:
    x, y = grams(said(a)), grams(said(b))
    return len(x & y) / len(x | y)


def test_a_deleted_row_is_kept_out_and_its_near_copies_are() -> None:
    gone = [row(f"g{i}", words(i, 40)) for i in range(300)]
    others = [row(f"o{i}", words(1000 + i, 40)) for i in range(3000)]
    near = [row(f"n{i}", changed(words(i, 40), 20)) for i in range(300)]
    far = [row(f"f{i}", changed(words(i, 40), 5, 12, 19, 26, 33)) for i in range(300)]
    assert min(map(similarity, gone, near)) >= 0.8
    assert max(map(similarity, gone, far)) < 0.5
    clean = Exclusion(listed(gone))
    made = clean([*gone, *others, *near, *far])
    kinds = {mark.id: mark.kind for mark in made.marks}
    assert {kinds.get(r.id) for r in gone} == {"exact"}
    assert sum(kinds.get(r.id) == "near" for r in near) == 300
    assert len(kinds) == 600, "an unlike row was named"
    assert clean(made.records).records == made.records == (*others, *far)


def test_case_spacing_and_the_form_of_a_conversation_hide_nothing() -> None:
    gone = Record("g", "Who lives here?", "Ada  Birch.")
    talk = Record("c", gone.prompt, "ada birch", messages=(Message("user", "who LIVES here"),))
    made = Exclusion(listed([gone]))([Record("t", "", "Who lives here? Ada Birch!"), talk])
    assert [mark.kind for mark in made.marks] == ["exact", "exact"]


def test_the_mean_product_of_two_sketches_is_their_similarity() -> None:
    text = words(0, 60)
    for count in range(0, 12, 3):
        other = changed(text, *range(5, 5 + 4 * count, 4))
        a, b = row("a", text), row("b", other)
        x, y = sketches([said(a), said(b)], SALT)
        truth = similarity(a, b)
        assert float((x * y).mean()) == pytest.approx(truth, abs=4 * ((1 - truth**2) / SIZE) ** 0.5 + 1e-6)


def test_a_gram_alone_cannot_be_tried_out() -> None:
    """Whether a row holds a 3-gram is guessed from its sketch hardly better than by a coin."""
    texts = [said(row("a", words(i, 40))) for i in range(200)]
    inside = sketches([" ".join(t.split()[10:13]) for t in texts], SALT)
    outside = sketches([" ".join(words(5000 + i, 3)) for i in range(200)], SALT)
    whole = sketches(texts, SALT)
    right = ((inside * whole).mean(1) > (outside * whole).mean(1)).mean()
    assert right < 0.85
    assert ((whole * whole).mean(1) > (outside * whole).mean(1)).all(), "a whole row can"


def test_packed_signs_come_back() -> None:
    signs = sketches(["a b c d", "e f g h"], SALT)
    assert (unpacked(packed(signs)) == signs).all()


def test_two_lists_of_the_same_rows_have_nothing_in_common() -> None:
    gone = [row("g", words(0, 40))]
    one, two = manifest(gone), manifest(gone)
    assert not set(one.rows) & set(two.rows)
    assert not set(one.rows.values()) & set(two.rows.values())


def test_the_file_is_private_holds_no_text_and_comes_back(tmp_path: Path) -> None:
    gone = [Record("canary-id", "Who is it?", "The canary of Elm Street, as everybody there knows.")]
    path = write_manifest(manifest(gone), tmp_path / "gone.json")
    text = path.read_text(encoding="utf-8").casefold()
    assert not [w for w in ("canary", "elm", "street", "everybody") if w in text]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = read_manifest(path)
    assert "canary" not in repr(found) + repr(Exclusion(found))
    assert Exclusion(found)(gone).records == ()
    more = found.plus([row("m", words(1, 20))])
    assert (more.salt, len(more.rows), list(more.rows)) == (found.salt, 2, sorted(more.rows))
    assert Exclusion(more)(gone).records == ()


def test_an_empty_list_excludes_nothing() -> None:
    rows = [row("a", words(0, 20))]
    assert Exclusion(manifest())(rows).records == tuple(rows)
    assert Exclusion(manifest(rows))([]).records == ()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"form": "unteach exclusion 1", "salt": "00", "rows": {}}',
     json.dumps({"form": "unteach exclusion 1", "salt": "0" * 64, "rows": {"canary": "0" * 128}}),
     json.dumps({"form": "unteach exclusion 1", "salt": "0" * 64, "rows": {"0" * 64: 1}}),
     json.dumps({"form": "another", "salt": "0" * 64, "rows": {}})],
)  # fmt: skip
def test_what_is_no_list_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "gone.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"gone\.json: this is no list of excluded rows") as refused:
        read_manifest(path)
    assert "canary" not in str(refused.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_manifest(tmp_path / "none.json")


def test_a_similarity_that_a_sketch_cannot_tell_is_refused() -> None:
    with pytest.raises(InputError, match=r"near is not in \[0\.5, 1\]"):
        Exclusion(manifest(), near=0.3)
