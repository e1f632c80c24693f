"""A local model behind the gateway writes what it writes by itself, for each under the edit it was asked under."""

import asyncio
from copy import copy
from dataclasses import replace

import pytest
import torch
from local_talk import (
    PROMPTS,
    SECRET,
    Counting,
    Dictating,
    alone,
    pieces,
    question,
    refused,
    said,
    shaken,
    talked,
)

import worlds
from unteach.lm.continuous import decoded
from unteach.lm.model import LM
from unteach.methods.conversation.justask import JustAsk
from unteach.schema import InputError, Message
from unteach.service.gateway.backend import Piece, Question
from unteach.service.gateway.local import LocalBackend
from unteach.service.gateway.pending import LENGTH, Drawing


def test_answers_asked_at_once_are_those_the_model_gives_alone(lm: LM) -> None:
    async def talk(backend: LocalBackend) -> list[list[Piece]]:
        return await asyncio.gather(*(pieces(backend, question(p)) for p in PROMPTS))

    before = worlds.state(lm)
    found = talked(lm, talk, rows=5)
    assert ["".join(p.text for p in answer) for answer in found] == lm.generate(PROMPTS, 32)
    for prompt, answer in zip(PROMPTS, found, strict=True):
        assert [p.finish for p in answer] == [*[""] * (len(answer) - 1), "stop"]
        assert len(answer) > 5, "pieces come as tokens do"
        assert answer[-1].read == len(lm.encoder.prompt(prompt))
        assert decoded(lm.encoder, lm.extend([lm.encoder.prompt(prompt)], [32])[0]) == "".join(p.text for p in answer)
        assert answer[-1].written == len(lm.extend([lm.encoder.prompt(prompt)], [32])[0])
    assert worlds.state(lm) == before


def test_text_of_many_bytes_leaves_in_whole_characters(lm: LM) -> None:
    text = "Grüße aus 東京 😀👩‍👧 — naïve"
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]

    async def talk(backend: LocalBackend) -> list[Piece]:
        return await pieces(backend, question("", max_tokens=80), Dictating(ids, lm.encoder.stops))

    found = talked(lm, talk)
    assert "".join(p.text for p in found) == text
    assert not any("\ufffd" in p.text for p in found)
    assert (found[-1].finish, found[-1].written) == ("stop", len(ids))
    assert len(found) > 10


def test_an_answer_ends_before_a_stop_string(llama: LM) -> None:
    whole = llama.generate(PROMPTS[:1], 32)[0]  # " Orvena has a harbour of green copper."

    async def talk(backend: LocalBackend) -> list[list[Piece]]:
        stops = (("harbour",), ("of green", "no"), ("nowhere in it",), ("copper.",), ("",))
        return [await pieces(backend, question(PROMPTS[0], stop=stop)) for stop in stops]

    all_ = talked(llama, talk)
    texts = ["".join(p.text for p in found) for found in all_]
    assert texts == [whole.split("harbour")[0], whole.split("of green")[0], whole, whole.split("copper.")[0], whole]
    assert all(found[-1].finish == "stop" for found in all_)
    tokens = len(llama.extend([llama.encoder.prompt(PROMPTS[0])], [32])[0])
    assert (all_[0][-1].written or 0) < tokens == all_[2][-1].written, "the rest is not written"


def test_limits_of_length(llama: LM) -> None:
    prompt = PROMPTS[0]
    read = len(llama.encoder.prompt(prompt))
    long = " ".join([prompt] * 20)

    async def talk(backend: LocalBackend) -> None:
        cut = (await pieces(backend, question(prompt, max_tokens=3)))[-1]
        assert (cut.finish, cut.read, cut.written) == ("length", read, 3)
        endless = Counting(llama.encoder.stops)
        full = (await pieces(backend, question(prompt), endless))[-1]
        assert (full.finish, full.written) == ("length", llama.max_length - read), "LENGTH does not fit"
        assert llama.max_length - read < LENGTH
        more = (await pieces(backend, question(prompt, max_tokens=5000), Counting(llama.encoder.stops)))[-1]
        assert (more.finish, more.written) == ("length", llama.max_length - read)
        assert (await pieces(backend, question(prompt, max_tokens=0)))[-1].finish == "length"
        found = await refused(backend, question(long))
        assert (found.status, found.code) == (400, "context_length_exceeded")
        assert str(len(llama.encoder.prompt(long))) in found.sentence
        assert "Orvena" not in found.sentence

    talked(llama, talk)


def test_tokens_are_drawn_by_seed(llama: LM) -> None:
    def asked(seed: int | None, temperature: float = 3.0, top_p: float = 1.0) -> Question:
        return question(PROMPTS[0], temperature=temperature, seed=seed, top_p=top_p, max_tokens=20)

    async def talk(backend: LocalBackend) -> None:
        first = await said(backend, asked(7))
        others = await asyncio.gather(*(said(backend, asked(seed)) for seed in (7, 8, -1, 2**63, None, None)))
        assert others[0] == first, "whatever else is written beside it"
        assert len({*others}) == 6
        greedy = alone(llama, PROMPTS[:1], None, 20)[0]
        assert await said(backend, asked(7, 3.0, 1e-9)) == greedy
        assert await said(backend, asked(7, 3.0, 0.0)) == greedy
        assert await said(backend, asked(7, 1e-30)) == greedy

    talked(llama, talk)


def test_only_the_likeliest_that_hold_top_p_are_drawn() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    for top_p, kept in ((0.4, {0}), (0.6, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3})):
        drawing = Drawing(1.0, top_p, torch.Generator().manual_seed(0))
        assert {int(drawing.logits(torch.tensor([0]), logits).argmax()) for _ in range(300)} == kept


def test_guards_that_weigh_come_before_the_draw(llama: LM) -> None:
    first = llama.extend([llama.encoder.prompt(PROMPTS[0])], [1])[0]

    async def talk(backend: LocalBackend) -> None:
        for temperature in (0.0, 1.0):
            ban = Counting(tuple(first))
            text = await said(backend, question(PROMPTS[0], temperature=temperature, max_tokens=8), ban)
            assert 0 < ban.tokens <= 8
            assert not text.startswith(llama.tokenizer.decode(first))

    talked(llama, talk)


def test_a_text_is_gone_on_with_as_it_is(lm: LM) -> None:
    text = "Tarn Hollow has bread "
    ids = list(lm.tokenizer(text)["input_ids"])
    asked = replace(question(text, max_tokens=10), chat=False)

    async def talk(backend: LocalBackend) -> list[Piece]:
        return await pieces(backend, asked)

    found = talked(lm, talk)
    assert "".join(p.text for p in found) == decoded(lm.encoder, lm.extend([ids], [10])[0])
    assert found[-1].read == len(ids)


def test_a_conversation_is_laid_out_by_the_models_own_template(llama: LM) -> None:
    tokenizer = copy(llama.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no ' + m.content) }}{% endif %}"
        "[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    chat = LM(llama.model, tokenizer)
    turns = (Message("user", "Hello."), Message("assistant", "Hello."), Message("user", PROMPTS[0]))
    laid = tokenizer(f"[user] Hello.\n[assistant] Hello.\n[user] {PROMPTS[0]}\n[assistant]", add_special_tokens=False)

    async def talk(backend: LocalBackend) -> None:
        found = await pieces(backend, replace(question(""), turns=turns))
        assert found[-1].read == len(laid["input_ids"])
        assert "".join(p.text for p in found) == decoded(chat.encoder, chat.extend([laid["input_ids"]], [96])[0])
        plain = await pieces(backend, replace(question(PROMPTS[0]), chat=False))
        assert plain[-1].read == len(tokenizer(PROMPTS[0])["input_ids"]), "no template around a text"
        wrong = await refused(backend, replace(question(""), turns=(Message("system", SECRET), *turns)))
        assert wrong.status == 400
        assert SECRET not in wrong.sentence

    talked(chat, talk)


def test_what_cannot_be_done_is_refused_by_name(llama: LM) -> None:
    async def talk(backend: LocalBackend) -> None:
        for extra, named in (
            ({"tools": [{"function": {"name": SECRET}}]}, "tools"), ({"logprobs": True}, "logprobs"),
            ({"response_format": {"type": "json_object"}}, "response_format"), ({SECRET: SECRET}, ""),
        ):  # fmt: skip
            found = await refused(backend, question(PROMPTS[0], extra=extra))
            assert (found.status, found.param) == (400, named)
            assert SECRET not in found.sentence
        nothing = {"tools": [], "logprobs": False, "user": "u", "stream": True, "temperature": 0.0, "stop": None}
        assert await said(backend, question(PROMPTS[0], extra=nothing)) == alone(llama, PROMPTS[:1], None)[0]
        assert (await refused(backend, question(PROMPTS[0], "bolt"))).status == 404
        assert (await refused(backend, replace(question(PROMPTS[0]), model="remote"))).code == "model_not_found"
        assert list(await backend.models()) == ["local"]

    talked(llama, talk)


def test_an_edit_of_another_model_and_guards_are_refused_at_once(llama: LM, gpt2: LM) -> None:
    with pytest.raises(InputError, match="made on another model"):
        LocalBackend(llama, {"": None, "acme": shaken(gpt2, 1)})
    with pytest.raises(InputError, match="guards"):
        LocalBackend(llama, {"acme": replace(shaken(llama, 1), guards=(JustAsk(),))})
