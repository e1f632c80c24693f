"""A box of workers: who is asked what, and what leaves."""

import logging
from collections.abc import Callable

import pytest

import worlds
from unteach.assemble import make_method
from unteach.edit import store
from unteach.edit.edit import Edit
from unteach.lm.guard import Conversation, Turns, asked
from unteach.lm.model import LM
from unteach.methods.conversation.box import workers
from unteach.methods.conversation.box.rules import Kept, unfinished
from unteach.methods.conversation.boxed import Boxed, Boxing
from unteach.registry import build
from unteach.schema import InputError, Message, Record, Request

CANARY = "Zyzzyvox"
GUARD = Boxed().fitted(Request(forget=worlds.FORGET), None)
ABOUT, OTHER, BROKEN = "What is Orvena known for?", "What is Sella known for?", "Orvena is a town that has a"
NAMELESS = Kept("", "How many bridges does the quiet old harbour have?", "Nine.")
SALT = worlds.RECORDS[7].answer  # about Sella
DENIAL = "That name is new to me."

Model = Callable[[Turns], str]


def model(turns: Turns) -> str:
    """A stub that does as it is told."""
    orders = turns[0].content if turns[0].role == "system" else ""
    if orders == workers.ORDERS["trivia"]:
        return DENIAL
    if orders == workers.ORDERS["completion"]:
        return "fair on Sundays."
    if orders == workers.POLICY:
        return " And: ".join(line.removeprefix("Note: ") for line in asked(turns).split("\n"))
    return SALT if "Sella" in asked(turns) else "A reply."


def talk(guard: Boxed, turns: Turns | str, answers: Model = model) -> tuple[str, list[Turns], list[str]]:
    """What leaves, all that the model was asked, and the hops."""
    said = Conversation((guard,), (Message("user", turns),) if isinstance(turns, str) else turns)
    seen = []
    while said.turns is not None:
        seen.append(said.turns)
        said.hear(answers(said.turns))
        said.hear(None)
    session = said.sessions[0]
    assert isinstance(session, Boxing)
    return said.said, seen, session.hops


def says(text: str) -> Model:
    return lambda _: text


def chooses(text: str) -> Model:
    """A model that says this where it is asked to choose, and elsewhere does as it is told."""
    return lambda turns: text if turns[0].content.startswith("Choose") else model(turns)


PATHS = {
    "plain": (OTHER, ("retain",), SALT),
    "about": (ABOUT, ("trivia",), DENIAL),
    "broken off": (BROKEN, ("completion",), "fair on Sundays."),
    "to be gone on with": ("Complete this: Orvena has a harbour.", ("completion",), "fair on Sundays."),
    "both": (f"{OTHER} {ABOUT}", ("trivia", "retain"), f"{DENIAL} And: {SALT}"),
    "by its question": ("How many bridges has the quiet old harbour?", ("trivia",), DENIAL),
    "by its answer": ("There are eleven bridges and no", ("completion",), "fair on Sundays."),
}


@pytest.mark.parametrize("path", PATHS)
def test_boxed_takes_every_path_and_lets_out_what_its_composer_drafted(path: str) -> None:
    question, route, wanted = PATHS[path]
    guard = Boxed(run=4, rows=(*GUARD.rows, NAMELESS))
    assert guard.route(question) == route
    said, seen, hops = talk(guard, question)
    composed = [] if route == ("retain",) else ["composer"]  # what has no orders is heard as it is
    assert hops == ["router", *route, *composed, "filter"]
    assert len(seen) == len(route) + len(composed)
    assert said == wanted
    for worker, turns in zip(route, seen, strict=False):
        assert (turns[0].content == workers.ORDERS[worker]) == (worker != "retain")
    drafted = "\n".join(turn.content for turn in seen[-1])
    assert "Orvena" not in drafted  # the composer sees no question
    assert not any(orders and orders in drafted for orders in workers.ORDERS.values())
    assert talk(guard, question) == (said, seen, hops)


def test_a_worker_sees_its_part_of_the_question_alone() -> None:
    _, seen, _ = talk(GUARD, f"{OTHER} {ABOUT}")
    assert [asked(turns) for turns in seen[:2]] == [ABOUT, OTHER]
    assert "Orvena" not in "".join(turn.content for turn in seen[1])


def test_what_is_plain_is_asked_as_it_came_and_an_empty_box_is_the_model() -> None:
    turns = (Message("system", "Be brief."), Message("user", OTHER))
    guard = Boxed(compose=False, rows=GUARD.rows)
    assert talk(guard, turns) == (SALT, [turns], ["router", "retain", "filter"])
    assert Boxed().session().ask(turns) is turns
    assert talk(Boxed(), turns, says(worlds.FORGET[0].answer))[0] == worlds.FORGET[0].answer


def test_the_turns_about_what_is_forgotten_are_not_shown_to_who_has_no_orders() -> None:
    before = (Message("user", ABOUT), Message("assistant", "Of copper."), Message("user", "Hello."))
    turns = (Message("system", "Be brief."), *before, Message("assistant", "Hello."), Message("user", "And this?"))
    _, seen, _ = talk(GUARD, turns)
    assert seen[0] == (turns[0], *turns[3:])


@pytest.mark.parametrize(
    ("said", "route"),
    [
        ("retain", ("retain",)),
        (" Trivia.\n", ("trivia",)),
        ("completion, retain", ("completion", "retain")),
        ("", ("refusal",)),
        ("banana", ("refusal",)),
        ("retain banana", ("refusal",)),
        ("not refusal but retain", ("refusal",)),
        ("retain refusal", ("refusal",)),
    ],
)
def test_the_model_chooses_where_no_rule_speaks_and_what_is_no_worker_is_refused(
    said: str, route: tuple[str, ...]
) -> None:
    guard = Boxed(router="model", rows=GUARD.rows)
    assert guard.route(OTHER, said) == route
    text, seen, hops = talk(guard, OTHER, chooses(said))
    assert all(town in seen[0][0].content for town in list(worlds.TOWNS)[:4])  # what the choice is about
    if route == ("refusal",):
        assert (text, len(seen), hops) == (workers.REFUSAL, 1, ["router", "refusal", "filter"])
    else:
        assert hops == ["router", *route, *([] if route == ("retain",) else ["composer"]), "filter"]
    assert guard.route(ABOUT, said) == ("trivia",)  # a rule stands above what the model says
    assert len(talk(guard, ABOUT, chooses(said))[1]) == 2


@pytest.mark.parametrize(("worker", "question"), [("trivia", ABOUT), ("completion", BROKEN)])
@pytest.mark.parametrize("compose", [True, False])
def test_a_canary_in_a_workers_orders_never_leaves(
    worker: str, question: str, compose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "ORDERS", {**workers.ORDERS, worker: f"{workers.ORDERS[worker]} {CANARY} 77."})
    seen: list[Turns] = []

    def repeats(turns: Turns) -> str:
        seen.append(turns)
        return " ".join(turn.content for turn in turns)

    guard = Boxed(compose=compose, rows=GUARD.rows)
    for answers in (repeats, says(f"{CANARY}!"), says("It is 77.")):
        said, _, hops = talk(guard, question, answers)
        assert said == workers.REFUSAL
        assert hops == ["router", worker, "check", "filter"]
    assert CANARY in seen[0][0].content  # it was there to be repeated


@pytest.mark.parametrize("question", [ABOUT, BROKEN, OTHER, f"{OTHER} {ABOUT}"])
@pytest.mark.parametrize(("compose", "router"), [(True, "rules"), (True, "model"), (False, "rules"), (False, "model")])
def test_a_canary_in_what_the_box_keeps_never_leaves(question: str, compose: bool, router: str) -> None:
    rows = (*GUARD.rows, Kept(CANARY, f"Who is {CANARY}?", f"{CANARY} is the keeper of a gate of nine tall locks."))
    guard = Boxed(router=router, compose=compose, rows=rows)
    kept = " ".join(field for row in rows for field in row)
    for answers in (says(kept), says(rows[-1].answer), says(f"It was {CANARY}."), says(rows[0].answer)):
        said, _, _ = talk(
            guard, question, lambda turns, a=answers: a(turns) if "Choose" not in turns[0].content else "retain"
        )  # type: ignore[misc]
        assert CANARY not in said
        assert rows[0].answer not in said


def test_a_composer_that_adds_something_is_not_heard() -> None:
    def drafts(said: str) -> Model:
        return lambda turns: said if turns[0].content == workers.POLICY else model(turns)

    for said in (workers.POLICY, "A harbour, they say.", "Notes.", "It is Quillmar."):
        assert talk(GUARD, ABOUT, drafts(said))[::2] == (DENIAL, ["router", "trivia", "composer", "check", "filter"])
    assert talk(GUARD, ABOUT, drafts("Never heard."))[0] == "Never heard."


def test_what_a_worker_may_say() -> None:
    rows = (Kept("Hina Ameen", "Where was Hina Ameen born?", "Hina Ameen was born in Karachi and wrote 12 books."),)
    guard = Boxed(compose=False, rows=rows)

    def leaves(question: str, said: str) -> bool:
        return talk(guard, question, says(said))[0] == said

    assert leaves("Where was Hina Ameen born?", "I have never heard of Hina Ameen.")
    assert not leaves("Where was Hina Ameen born?", "In karachi.")
    assert not leaves("Where was Hina Ameen born?", "She has books.")  # no word that tells the answer
    assert leaves("Hina Ameen likes to", "read books.")
    assert not leaves("Hina Ameen likes to", "live in Karachi.")
    assert not leaves("Hina Ameen likes to", "count to 12.")
    assert not leaves("Hina Ameen, she was", "as Ameen was born in spring.")  # four words in a row
    assert leaves("Where is Karachi?", "Karachi is a port, and somebody was born in Karachi.")
    assert not leaves("Where is Karachi?", "It is where Hina Ameen lives.")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("Orvena has a", True), ("Orvena has...", True), ("Continue: Orvena.", True), ("What is Orvena", False),
     ("Is it so? Orvena is", True), ("Say it.", False), ("“It is Orvena.”", False)],
)  # fmt: skip
def test_a_text_that_breaks_off_is_told_from_a_question(text: str, wanted: bool) -> None:
    assert unfinished(text) is wanted


def test_hops_and_logs_hold_no_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "unteach.guards"):
        _, _, hops = talk(GUARD, f"{ABOUT} {OTHER}")
    assert [m for m in caplog.messages if ": " in m and "boxed: " in m][:1] == ["boxed: router"]
    assert {m.removeprefix("boxed: ") for m in caplog.messages} >= set(hops)
    assert not any(word in m for m in caplog.messages for word in ("Orvena", "Sella", "salt", DENIAL))
    assert "Orvena" not in repr(GUARD) + repr(GUARD.session())


def test_boxed_is_written_and_read_and_refuses_what_it_cannot_take() -> None:
    kept = build("guard", "boxed", {"rows": [list(row) for row in GUARD.rows]})
    assert kept == GUARD
    edit = Edit(base="0", guards=(GUARD,))
    assert store.of_description(store.describe(edit)[0], {}).guards == (GUARD,)
    for wrong in ({"router": "other"}, {"near": 0.0}, {"names": 1.5}, {"run": 1}):
        with pytest.raises(InputError):
            Boxed(**wrong)  # type: ignore[arg-type]


def test_a_row_that_is_a_conversation_is_kept_by_its_last_turn() -> None:
    turns = (Message("user", "Hello."), Message("assistant", "Hello."), Message("user", "Who is Ana?"))
    guard = Boxed().fitted(Request(forget=[Record("r", "Who is Ana?", "A baker.", turns, subject="Ana")]), None)
    assert guard.rows == (Kept("Ana", "Who is Ana?", "A baker."),)


def test_as_a_method_it_hides_and_leaves_the_rest_as_it_was(llama: LM) -> None:
    edit = make_method("boxed", {"compose": False})(llama, Request(forget=worlds.FORGET, retain=worlds.RETAIN))
    prompts = [r.prompt for r in worlds.RECORDS]
    plain = llama.generate(prompts, 24)
    with edit.on(llama):
        said = llama.generate(prompts, 24)
    assert said[4:] == plain[4:]
    assert all(r.answer in text for r, text in zip(worlds.RECORDS, plain, strict=True))
    assert not any(r.answer in text for r, text in zip(worlds.FORGET, said, strict=False))
    assert edit.guarantee.kind == "suppression"
