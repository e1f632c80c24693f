"""A model of counts gives up a text to the last context, and is Kneser and Ney's."""

from collections import Counter
from itertools import pairwise
from math import exp, log

import numpy as np
import pytest
from statebits import bits_of, requests

import worlds
from unteach.methods.exact.heads.ngram import NGram, pieces, words
from unteach.schema import InputError, Record

MODELS = [NGram(1), NGram(2), NGram(3, 0.5), NGram(5)]


def corpus(seed: int, n: int = 12) -> dict[str, tuple[str, ...]]:
    """Texts of few different words, so that most n-grams stand in several."""
    rng = np.random.default_rng(seed)
    return {f"text-{i}": tuple(rng.choice(list("abcde"), rng.integers(0, 9))) for i in rng.permutation(n)}


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_counts_without_texts_are_those_that_never_had_them(model: NGram) -> None:
    for seed in range(25):
        texts = corpus(seed)
        first = model.fit(texts)
        before, state, out = bits_of(first), first, []
        for batch in requests(sorted(texts), seed):
            state, guarantee = model.delete(state, batch)
            assert guarantee.level == "retrain-equal"
            out += batch
        anew = model.fit({i: text for i, text in texts.items() if i not in out})
        assert bits_of(state) == bits_of(anew), "the order of the tables is part of it"
        assert bits_of(first) == before != bits_of(state), "states are left as they were"
        asked = ("a", "e", "never", "b")
        assert model.release(state)(asked) == model.release(anew)(asked)


def test_what_a_deleted_text_said_leaves_no_trace() -> None:
    left = [NGram().delete(NGram().fit(corpus(0) | {"gone": text}), ["gone"])[0] for text in (("secret",), ("a", "z"))]
    assert bits_of(left[0]) == bits_of(left[1]) == bits_of(NGram().fit(corpus(0)))
    assert "secret" not in repr(NGram().fit({"gone": ("secret",)}))


def test_shorter_counts_are_of_contexts_and_not_of_places() -> None:
    texts = corpus(3)
    top = Counter(gram for t in texts.values() for gram in zip(*(("", "", *t, "")[k:] for k in range(3)), strict=False))
    counts = NGram(3).fit(texts).counts
    assert counts[2] == top
    assert counts[1] == Counter(gram[1:] for gram in top)
    assert counts[0] == Counter(gram[1:] for gram in counts[1])
    assert counts[0] != Counter(gram[2:] for gram in top.elements()), "a subtraction of places would not be enough"


def test_probabilities_are_those_worked_out_by_hand() -> None:
    model = NGram(2, 0.5)
    says = model.release(model.fit({"1": ("a", "b"), "2": ("a", "c"), "3": ("b",)}))
    # bigrams: (,a) 2, (a,b), (b,) 2, (a,c), (c,), (,b); contexts of: a 1, b 2, c 1, end 2; of 6 in all, and 4 tokens
    once = {"a": (1 - 0.5) / 6, "b": (2 - 0.5) / 6, "c": (1 - 0.5) / 6, "": (2 - 0.5) / 6, "zzz": 0.0}
    once = {token: own + 0.5 * 4 / 6 / 5 for token, own in once.items()}
    assert says.probability((), "b") == pytest.approx(once["b"], rel=1e-15)
    assert says.probability(("x", "a"), "b") == pytest.approx(0.5 / 2 + 0.5 * 2 / 2 * once["b"], rel=1e-15)
    assert says.probability(("a",), "zzz") == pytest.approx(0.5 * once["zzz"], rel=1e-15)
    assert says.probability(("zzz",), "c") == pytest.approx(once["c"], rel=1e-15)
    assert says(("b",))[1] == pytest.approx(log(1.5 / 2 + 0.5 / 2 * once[""]), rel=1e-15)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_probabilities_behind_any_context_sum_to_one(model: NGram) -> None:
    says = model.release(model.fit(corpus(5)))
    for context in ((), ("a",), ("", "b"), ("c", "d", "e", "a"), ("never", "a")):
        assert sum(says.probability(context, t) for t in (*says.vocabulary, "never")) == pytest.approx(1, rel=1e-12)


def test_of_no_text_every_token_is_unknown() -> None:
    state, _ = NGram().delete(NGram().fit(corpus(0)), sorted(corpus(0)))
    assert bits_of(state) == bits_of(NGram().fit({}))
    assert NGram().release(state)(("a",)) == (0.0, 0.0)


def test_records_are_read_as_words_or_as_a_models_tokens() -> None:
    texts = words(worlds.RECORDS)
    assert texts["town-0"][:3] == ("What", "is", "Orvena")
    assert texts["town-0"][-1] == "."
    lm = worlds.llama()
    assert pieces(lm.encoder, worlds.RECORDS)["town-3"] == tuple(map(str, lm.encoder.row(worlds.RECORDS[3]).ids))
    says = NGram().release(NGram().fit(texts))
    known, strange = exp(np.mean(says(texts["town-4"]))), exp(np.mean(says(texts["town-4"][::-1])))
    assert known > 5 * strange
    assert all(a <= b for a, b in pairwise(sorted(texts)))


def test_texts_and_requests_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="a token is empty"):
        NGram().fit({"1": ("a", "")})
    with pytest.raises(InputError, match="same id"):
        words([Record("1", "a", "b"), Record("1", "c", "d")])
    with pytest.raises(InputError, match="1 of the ids to delete are not held"):
        NGram().delete(NGram().fit(corpus(0)), ["text-99"])
    with pytest.raises(InputError, match="an 'order' from 1 on"):
        NGram(order=0)
