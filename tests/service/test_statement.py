"""A certificate says its class as it was given, what it does not cover, and nothing of whom it is about."""

import re
from base64 import b64decode
from dataclasses import replace
from hashlib import sha256

import pytest
from issued import ARTEFACTS, CLAIMS, ISSUER, KEY, KEYS, NOON, OTHER, RECORDS, SALT, deletion, digest, issued

from unteach.schema import Guarantee, InputError
from unteach.service.keys import key_id
from unteach.service.predicate import Deletion, Entry
from unteach.service.statement import ALWAYS, BESIDE, commitment, read, sign, statement, written
from unteach.service.verify import certificate

LINE = Entry(3, digest(b"a line"))


@pytest.mark.parametrize("kind", CLAIMS)
def test_the_guarantee_is_written_as_it_was_given(kind: str) -> None:
    given, found = CLAIMS[kind], certificate(sign(issued(kind), KEY), KEYS).predicate.guarantee
    assert (found.kind, found.level, found.claim) == (given.kind, given.level, given.claim)
    assert dict(found.numbers) == dict(given.numbers)


@pytest.mark.parametrize("kind", CLAIMS)
def test_every_class_says_what_it_does_not_cover(kind: str) -> None:
    predicate = issued(kind).predicate
    assert predicate.not_covered == (*ALWAYS, BESIDE[CLAIMS[kind].kind])
    said = " ".join(predicate.not_covered)
    assert all(word in said for word in ("pretrained", "outside the issuer's control", "holds the model as it was"))
    assert ("approximate" in said) == (kind == "empirical")
    assert ("weights still hold" in said) == (kind == "suppression")


@pytest.mark.parametrize("kind", CLAIMS)
def test_no_class_below_certified_has_words_of_a_higher_one_in_its_texts(kind: str) -> None:
    predicate = issued(kind).predicate
    texts = " ".join((predicate.summary, *predicate.not_covered)).lower()
    if CLAIMS[kind].kind not in ("exact", "certified"):
        assert not re.search(r"erase|erasure|anonym|guarantee|proven|\bexact\b|certified", texts)


@pytest.mark.parametrize("claim", ["All was erased.", "The model is Anonymous.", "This is erasure.", "anonymised"])
@pytest.mark.parametrize("kind", ["empirical", "suppression", "none"])
def test_a_claim_beyond_its_class_is_neither_made_nor_signed(claim: str, kind: str) -> None:
    with pytest.raises(InputError, match="claims more than its class"):
        statement({"model": digest(b"m")}, Guarantee(kind, claim=claim), deletion(LINE), ISSUER, id="c", issued_at=NOON)
    good = issued("suppression")
    high = replace(good, predicate=replace(good.predicate, summary=claim))
    with pytest.raises(InputError, match="claims more than its class"):
        sign(high, KEY)


def test_nothing_in_a_certificate_tells_whom_it_is_about() -> None:
    data = written(issued()) + sign(issued(), KEY)
    for plain in (*RECORDS, *RECORDS.values(), "Mira"):
        assert plain.encode() not in data
        for guess in (plain, f"record\0{plain}"):
            assert sha256(guess.encode()).hexdigest().encode() not in data
    held = issued().predicate.deletion.request.commitments
    assert held == tuple(commitment(SALT, "record", name) for name in RECORDS)  # who has the salt can tell
    assert not set(held) & {commitment(bytes(32), "record", name) for name in RECORDS}


def test_commitments_depend_on_salt_kind_and_content() -> None:
    made = {commitment(s, k, c) for s in (SALT, SALT[::-1]) for k in ("record", "subject") for c in ("a", "b", "")}
    assert len(made) == 12
    with pytest.raises(InputError, match="can be guessed"):
        commitment(b"short", "record", "a")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda d: replace(d, request=replace(d.request, commitments=("row-7311",))),
        lambda d: replace(d, request=replace(d.request, id=RECORDS["row-7311"])),
        lambda d: replace(d, request=replace(d.request, received_at="yesterday")),
        lambda d: replace(d, method=replace(d.method, settings="x")),
        lambda d: replace(d, audit=replace(d.audit, scores=(replace(d.audit.scores[0], value=float("nan")),))),
        lambda d: replace(d, not_tested=("two\nlines",)),
    ],
)
def test_a_statement_that_nobody_could_verify_is_not_made(wrong: object) -> None:
    about: Deletion = wrong(deletion(LINE))
    with pytest.raises(InputError):
        statement({"model": digest(b"m")}, CLAIMS["empirical"], about, ISSUER, id="crt", issued_at=NOON)


def test_artefacts_are_named_by_digest_and_there_is_at_least_one() -> None:
    found = {s.name: s.digest.sha256 for s in issued().subject}
    assert found == {name: digest(data) for name, data in ARTEFACTS.items()}
    with pytest.raises(InputError, match="subject"):
        statement({}, CLAIMS["none"], deletion(LINE), ISSUER, id="crt", issued_at=NOON)


def test_only_the_key_that_is_named_signs() -> None:
    with pytest.raises(InputError, match="another key"):
        sign(issued(), OTHER)
    assert issued().predicate.issuer.key_id == key_id(KEY.public_key())


def test_the_file_is_the_same_each_time_and_holds_the_canonical_statement() -> None:
    assert sign(issued(), KEY) == sign(issued(), KEY)
    assert read(written(issued()), "it") == issued()
    assert b64decode(sign(issued(), KEY).split(b'"')[3]) == written(issued())
