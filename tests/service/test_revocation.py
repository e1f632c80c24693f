"""A certificate that its issuer took back fails; nobody else can take it back, and no list is taken for another."""

import random

import pytest
from altered import CERTIFICATE, certificate
from issued import ISSUER, KEY, KEYS, NOON, OTHER, digest, issued
from vectored import LATER, listed

from unteach.schema import InputError
from unteach.service import revocation, verify
from unteach.service.canonical import Rejected
from unteach.service.keys import key_id
from unteach.service.predicate import Issuer
from unteach.service.revocation import Revocations
from unteach.service.statement import sign

NAME = digest(sign(issued(), KEY))


def test_only_what_is_on_the_list_is_revoked() -> None:
    found = revocation.sign(listed("retrain-equal"), KEY)
    gone = verify.unrevoked(issued(), NAME, found, KEYS, "the list")
    assert (gone.passed, "crt_01 was revoked at 2026-05-06T07:08:09Z: it says what is not so" in gone.said) == (
        False,
        True,
    )
    stands = verify.unrevoked(issued("none"), digest(sign(issued("none"), KEY)), found, KEYS, "the list")
    assert (stands.passed, f"as of {LATER}" in stands.said) == (True, True)


def test_only_the_key_that_signed_a_certificate_takes_it_back() -> None:
    with pytest.raises(InputError, match="only the key that signed it"):
        revocation.revoke(issued(), NAME, "key", LATER, OTHER)
    theirs = Revocations(
        revocation.KIND, Issuer("Somebody", key_id(OTHER.public_key())), LATER, listed("retrain-equal").revoked
    )
    both = {**KEYS, key_id(OTHER.public_key()): OTHER.public_key()}  # the reader trusts both
    found = verify.unrevoked(issued(), NAME, revocation.sign(theirs, OTHER), both, "the list")
    assert (found.passed, "of another issuer than the certificate" in found.said) == (False, True)
    with pytest.raises(InputError, match="another key than the one that signs"):
        revocation.sign(theirs, KEY)


def test_a_list_grows_and_says_each_certificate_once() -> None:
    found = listed("none", "certified")
    assert [r.reason for r in found.revoked] == ["mistaken", "returned"]
    assert revocation.read(revocation.sign(found, KEY), KEYS) == found
    with pytest.raises(InputError, match="already"):
        revocation.revoke(issued("none"), digest(sign(issued("none"), KEY)), "key", LATER, KEY, found)
    with pytest.raises(InputError, match="clock"):
        revocation.revoke(issued(), NAME, "key", NOON, KEY, found)
    with pytest.raises(InputError, match="choose mistaken, returned, untrusted, key"):
        revocation.revoke(issued(), NAME, "Mira Oldfield", LATER, KEY)
    assert listed().issuer == ISSUER


def test_no_altered_list_is_accepted() -> None:
    genuine = revocation.sign(listed("none", "retrain-equal"), KEY)
    assert len(CERTIFICATE) == 8
    rng = random.Random(5)
    for _ in range(600):
        with pytest.raises(Rejected):
            revocation.read(certificate(genuine, rng), KEYS)
