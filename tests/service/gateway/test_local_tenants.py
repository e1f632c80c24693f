"""Many ask one model under edits of their own: nobody meets another's, waits for another's, or fails with another's."""

import asyncio
import logging
import random

import pytest
import torch
from local_talk import (
    PROMPTS,
    SECRET,
    Counting,
    Failing,
    Noting,
    alone,
    closing,
    pieces,
    question,
    refused,
    said,
    shaken,
    talked,
    trained,
)

import worlds
from unteach.edit.edit import Edit
from unteach.edit.maps import Shift
from unteach.lm.model import LM
from unteach.service.gateway.backend import Refused
from unteach.service.gateway.local import LocalBackend
from unteach.service.gateway.worker import STEPS


def interleaved(lm: LM, edits: dict[str, Edit | None]) -> None:
    """Questions under many edits at once, in no order: each answer is that of its own edit."""
    expected = {name: alone(lm, PROMPTS, edit, 16) for name, edit in edits.items()}
    assert all(len({expected[name][n] for name in edits}) == len(edits) for n in range(len(PROMPTS)))
    order = [(name, n) for name in edits for n in range(len(PROMPTS))]
    random.Random(0).shuffle(order)

    async def one(backend: LocalBackend, number: int, name: str, n: int) -> str:
        await asyncio.sleep(0.002 * number)
        return await said(backend, question(PROMPTS[n], name, max_tokens=16))

    async def talk(backend: LocalBackend) -> list[str]:
        return await asyncio.gather(*(one(backend, i, *asked) for i, asked in enumerate(order)))

    before = worlds.state(lm)
    assert talked(lm, talk, edits, rows=4) == [expected[name][n] for name, n in order]
    assert worlds.state(lm) == before


def test_no_tenant_meets_anothers_edit(llama: LM) -> None:
    shift = Edit(llama.digest(), activations={"model.layers.1": (Shift(torch.linspace(-2, 2, worlds.SIZE.hidden)),)})
    edits = {"": None, "acme": trained(llama), "bolt": shaken(llama, 1), "low": shaken(llama, 1, low=True)}
    interleaved(llama, {**edits, "shift": shift})


def test_no_tenant_meets_anothers_edit_of_a_gpt(gpt2: LM) -> None:
    interleaved(gpt2, {"": None, "acme": shaken(gpt2, 1), "bolt": shaken(gpt2, 2, low=True)})


def test_a_flood_keeps_others_waiting_for_one_turn_alone(llama: LM) -> None:
    edits, rows, tokens = {"flood": shaken(llama, 1), "": None}, 3, list[str]()

    async def talk(backend: LocalBackend) -> None:
        flood = [
            asyncio.create_task(said(backend, question(p, "flood", max_tokens=12), Noting("flood", tokens)))
            for p in PROMPTS * 4
        ]
        while len(tokens) < 20:
            await asyncio.sleep(0)
        before = len(tokens)
        await said(backend, question(PROMPTS[0]), Noting("", tokens))
        assert tokens.index("") - before <= rows * (STEPS + 1), "few of the flood's tokens come before"
        assert "flood" not in tokens[tokens.index("") :][: tokens.count("")], "and none in between"
        await asyncio.gather(*flood)

    talked(llama, talk, edits, rows=rows)
    assert tokens.count("flood") > 3 * rows * (STEPS + 1)


def test_a_long_answer_keeps_nobody_waiting_for_its_end(llama: LM) -> None:
    slow, plain = Counting(llama.encoder.stops, pause=0.004), alone(llama, PROMPTS[:1], None)[0]

    async def talk(backend: LocalBackend) -> int:
        async with closing(backend.write(question("", "acme", max_tokens=90), [slow])) as long:
            await anext(long)
            assert await said(backend, question(PROMPTS[0])) == plain
            then = slow.tokens
            assert [p.finish async for p in long][-1] == "length"
        return then

    assert talked(llama, talk, {"": None, "acme": shaken(llama, 1)}) <= STEPS + 1
    assert slow.tokens == 90


def test_a_question_joins_a_batch_of_its_own_edit(llama: LM) -> None:
    slow, plain = Counting(llama.encoder.stops, pause=0.004), alone(llama, PROMPTS[:1], None)[0]

    async def talk(backend: LocalBackend) -> int:
        async with closing(backend.write(question("", max_tokens=90), [slow])) as long:
            await anext(long)
            then = slow.tokens
            assert await said(backend, question(PROMPTS[0])) == plain
            return slow.tokens - then

    assert 5 < talked(llama, talk) < 80


@pytest.mark.parametrize("positions", [100, 1])
def test_room_is_shared_and_nobody_goes_without(llama: LM, positions: int) -> None:
    edits = {"": None, "acme": shaken(llama, 1), "bolt": shaken(llama, 2)}

    async def talk(backend: LocalBackend) -> list[str]:
        backend._worker._positions = positions  # room for two or three answers under all edits; or for none
        return await asyncio.gather(*(said(backend, question(p, e, max_tokens=20)) for p in PROMPTS[:4] for e in edits))

    alone_ = {name: alone(llama, PROMPTS[:4], edit, 20) for name, edit in edits.items()}
    assert talked(llama, talk, edits) == [alone_[e][n] for n in range(4) for e in edits]


def test_an_answer_that_nobody_wants_any_more_is_not_written(llama: LM) -> None:
    slow = Counting(llama.encoder.stops, pause=0.002)

    async def talk(backend: LocalBackend) -> None:
        async with closing(backend.write(question("", max_tokens=90), [slow])) as long:
            await anext(long)
        then = slow.tokens
        await said(backend, question(PROMPTS[0]))
        assert slow.tokens <= then + 1 < 90
        assert await said(backend, question(PROMPTS[1])) == plain

    plain = alone(llama, PROMPTS[1:2], None)[0]
    talked(llama, talk)


def test_closing_ends_what_is_written_and_what_waits(llama: LM) -> None:
    slow = Counting(llama.encoder.stops, pause=0.01)

    async def talk() -> None:
        backend = LocalBackend(llama, {"": None, "acme": shaken(llama, 1)}, rows=1)
        assert await backend.ready()
        asked = (question("", max_tokens=90), question(PROMPTS[0]), question(PROMPTS[0], "acme"))
        tasks = [asyncio.create_task(pieces(backend, q, *[slow][: not n])) for n, q in enumerate(asked)]
        while not slow.tokens:
            await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await backend.close()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(e) for e in ended] == [Refused] * 3
        assert {e.status for e in ended if isinstance(e, Refused)} == {503}
        assert not backend._worker.is_alive()
        assert not await backend.ready()
        assert (await refused(backend, question(PROMPTS[0]))).status == 503

    before = worlds.state(llama)
    asyncio.run(talk())
    assert worlds.state(llama) == before


@pytest.mark.parametrize(("fails", "status"), [(ValueError(SECRET), 500), (MemoryError(SECRET), 503)])
def test_a_failure_ends_its_own_batch_and_nothing_else(
    llama: LM, fails: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(backend: LocalBackend) -> None:
        with pytest.raises(Refused) as found:
            await pieces(backend, question(PROMPTS[0], "acme"), Failing(fails))
        assert found.value.status == status
        assert SECRET not in found.value.sentence
        assert found.value.__cause__ is found.value.__context__ is None
        assert await said(backend, question(PROMPTS[0], "acme")) == under
        assert await said(backend, question(PROMPTS[0])) == plain
        assert await backend.ready()

    edit = shaken(llama, 1)
    under, plain = alone(llama, PROMPTS[:1], edit)[0], alone(llama, PROMPTS[:1], None)[0]
    with caplog.at_level(logging.DEBUG):
        talked(llama, talk, {"": None, "acme": edit})
    assert type(fails).__name__ in caplog.text
    assert SECRET not in caplog.text
    assert PROMPTS[0] not in caplog.text


def test_a_question_that_cannot_be_read_keeps_nobody_waiting(llama: LM) -> None:
    async def talk(backend: LocalBackend) -> None:
        assert (await refused(backend, question("\ud800"))).status == 500
        assert await said(backend, question(PROMPTS[0])) == alone(llama, PROMPTS[:1], None)[0]

    talked(llama, talk)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_dies_is_not_ready(llama: LM) -> None:
    async def talk(backend: LocalBackend) -> None:
        with pytest.raises(Refused):
            await pieces(backend, question(PROMPTS[0]), Failing(SystemExit()))
        backend._worker.join(2)
        assert not await backend.ready()
        assert (await refused(backend, question(PROMPTS[0]))).status == 503

    talked(llama, talk)


def test_the_model_can_be_had_to_oneself_between_two_tokens(llama: LM) -> None:
    edit, slow = shaken(llama, 1), Counting(llama.encoder.stops, pause=0.002)
    plain, under = (alone(llama, PROMPTS[:2], worn) for worn in (None, edit))

    async def talk(backend: LocalBackend) -> None:
        async with closing(backend.write(question("", "acme", max_tokens=90), [slow])) as long:
            await anext(long)
            waiting = asyncio.create_task(said(backend, question(PROMPTS[0], "acme")))
            with backend.paused() as lm:
                then = slow.tokens
                assert lm.worn == []
                assert lm.generate(PROMPTS[:2], 32) == plain
                assert slow.tokens == then
            assert await waiting == under[0]
            assert [p.finish async for p in long][-1] == "length"

    talked(llama, talk, {"acme": edit})


def test_a_question_that_needs_all_the_room_is_not_passed_by_for_ever(llama: LM) -> None:
    edits, tokens = {"flood": None, "more": shaken(llama, 2), "acme": shaken(llama, 1)}, list[str]()

    async def talk(backend: LocalBackend) -> None:
        backend._worker._positions = 100
        small = [
            asyncio.create_task(said(backend, question(p, e, max_tokens=12), Noting(e, tokens)))
            for p in PROMPTS * 4 for e in ("flood", "more")
        ]  # fmt: skip
        while len(tokens) < 20:
            await asyncio.sleep(0)
        await said(backend, question(PROMPTS[0], "acme", max_tokens=90), Noting("acme", tokens))
        await asyncio.gather(*small)

    talked(llama, talk, edits)
    assert tokens.index("acme") < len(tokens) / 2
