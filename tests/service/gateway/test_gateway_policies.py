"""What policies do with an answer, and that nothing leaves where they cannot be applied."""

import json
from typing import Any

import openai
import pytest
from running import REFUSAL, SECRET, Broken, Filter, Gate, Judge, Place, Swap, opened, policy
from stub import PLAIN, Stub

from unteach.lm.guard import Guard

TELLING = f"echo {SECRET} is green"


def said(place: Place, asked: str, **fields: Any) -> tuple[str, str]:
    """What a client reads of an answer, whole, and why it ended; streamed the same way."""
    choice = place(asked, **fields).choices[0]
    return choice.message.content, choice.finish_reason


def streamed(place: Place, asked: str) -> tuple[str, str]:
    chunks = list(place(asked, stream=True))
    return "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1].choices[0].finish_reason


@pytest.mark.parametrize(
    ("action", "guard", "whole", "piecewise"),
    [
        ("edit", Filter(), "echo […] is green", "echo […] is green"),
        ("abstain", Filter(), REFUSAL, "echo […] is green"),
        ("block", Filter(), REFUSAL, "echo […] is green"),
        ("edit", Gate(), "Closed.", "Closed."),
        ("abstain", Gate(), REFUSAL, REFUSAL),
        ("block", Gate(), REFUSAL, REFUSAL),
        ("edit", Judge(), "Withheld.", "Withheld."),
        ("block", Judge(), REFUSAL, REFUSAL),
    ],
)
def test_an_action_says_what_stands_in_place_of_the_answer(
    url: str, action: str, guard: Guard, whole: str, piecewise: str
) -> None:
    with opened(url, policy(guard, action=action)) as place:
        assert said(place, TELLING) == (whole, "content_filter")
        assert streamed(place, TELLING) == (piecewise, "content_filter")
        assert said(place, "Which mill?") == streamed(place, "Which mill?") == (PLAIN, "stop")


def test_a_guard_that_only_rewrites_the_question_filters_nothing(url: str, stub: Stub) -> None:
    with opened(url, policy(Swap(), action="block")) as place:
        assert said(place, TELLING) == ("echo Sella is green", "stop")
        assert stub.seen[-1]["messages"] == [{"role": "user", "content": "echo Sella is green"}]
        assert place(TELLING).unteach["decisions"][0]["action"] == "rewrote"


def test_policies_lie_around_each_other(url: str) -> None:
    inner, outer = policy(Filter(), name="a"), policy(Gate(), action="abstain", name="b")
    for worn in ((inner, outer), (outer, inner)):
        with opened(url, *worn) as place:
            assert said(place, TELLING) == (REFUSAL, "content_filter")
    with opened(url, policy(Filter("mill"), name="a"), policy(Filter("lock"), action="block", name="b")) as place:
        assert said(place, "Which?") == (REFUSAL, "content_filter")


def test_blocking_may_be_an_error(url: str) -> None:
    with opened(url, policy(Filter(), action="block", error=True)) as place:
        for stream in (False, True):
            with pytest.raises(openai.APIError, match=REFUSAL) as blocked:
                list(place(TELLING, stream=stream))
            assert blocked.value.code == "content_filter"


def test_monitoring_counts_and_changes_nothing(url: str) -> None:
    with opened(url, policy(Filter(), action="monitor"), policy(Gate(), action="monitor", name="b")) as place:
        raw = place.client.chat.completions.with_raw_response.create(
            model="stub", messages=[{"role": "user", "content": TELLING}], logprobs=True
        )
        assert raw.parse().choices[0].message.content == TELLING
        assert "x-unteach-guarantee" not in raw.headers
        assert not hasattr(raw.parse(), "unteach")
        assert streamed(place, TELLING) == (TELLING, "stop")
        counted = place.counted()
    assert 'unteach_guard_decisions_total{action="changed",guard="Filter",stage="reply"} 2.0' in counted
    assert 'unteach_guard_decisions_total{action="answered",guard="Gate",stage="question"} 2.0' in counted


@pytest.mark.parametrize("at", ["question", "reply"])
def test_a_guard_that_fails_ends_the_answer(url: str, at: str, caplog: pytest.LogCaptureFixture) -> None:
    for action in ("edit", "block", "abstain", "monitor"):
        with opened(url, policy(Broken(at), Filter(), action=action)) as place:
            with pytest.raises(openai.InternalServerError) as failed:
                place("echo canary")
            assert (failed.value.status_code, failed.value.code) == (503, "guard_failed")
            assert "canary" not in str(failed.value)
            with pytest.raises(openai.APIError):
                list(place("echo canary", stream=True))
    assert "canary" not in caplog.text


def test_only_who_monitors_may_fail_open(url: str) -> None:
    for at in ("question", "reply"):
        with opened(url, policy(Broken(at), action="monitor", open=True)) as place:
            assert said(place, "Which mill?") == streamed(place, "Which mill?") == (PLAIN, "stop")


def test_what_a_stream_began_with_is_not_gone_on_with_unguarded(url: str) -> None:
    """A guard that fails in the middle ends the stream with an error, and without the mark of a whole one."""
    with opened(url, policy(Broken("reply"), action="edit")) as place:
        raw = place.client.chat.completions.with_raw_response
        with pytest.raises(openai.APIError):
            raw.create(model="stub", messages=[{"role": "user", "content": "x"}], stream=True)


def called(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize(
    ("name", "arguments", "passes"),
    [
        ("look", '{"town": "Sella"}', True),
        ("look", '{"town": "Orvena"}', False),
        ("look", '{"town": "\\u004frvena"}', False),
        ("look", '{"Orvena": 1}', False),
        ("lookOrvena", "{}", False),
        ("look", "Orvena, not JSON", False),
    ],
)
def test_tool_calls_leave_whole_or_not_at_all(url: str, stub: Stub, name: str, arguments: str, passes: bool) -> None:
    stub.calls, stub.says, was = [called(name, arguments)], (lambda _asked: []), stub.says
    try:
        for guards in ((Filter(),), (Judge(),)):
            with opened(url, policy(*guards)) as place:
                if guards == (Judge(),):
                    stub.calls, stub.says = [], lambda asked: [asked] if asked.startswith("echo") else []
                    continue
                choice = place("Where?", tools=TOOLS).choices[0]
                chunks = list(place("Where?", tools=TOOLS, stream=True))
                deltas = [c.choices[0].delta.tool_calls for c in chunks if c.choices[0].delta.tool_calls]
                if passes:
                    assert choice.finish_reason == "tool_calls"
                    assert [(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls] == [
                        ("call_1", name, arguments)
                    ]
                    assert [(c.function.name, c.function.arguments) for c in deltas[0]] == [(name, arguments)]
                else:
                    assert (choice.finish_reason, choice.message.tool_calls, deltas) == ("content_filter", None, [])
                    assert SECRET not in json.dumps([c.model_dump() for c in chunks])
    finally:
        stub.calls, stub.says = (), was


def test_what_no_guard_reads_does_not_leave(url: str, stub: Stub) -> None:
    stub.beside = {"reasoning_content": SECRET, "refusal": SECRET, "annotations": [SECRET]}
    try:
        with opened(url, policy(Filter())) as place:
            assert SECRET not in place("Which?").model_dump_json()
        with opened(url) as place:
            assert place("Which?").choices[0].message.reasoning_content == SECRET
    finally:
        stub.beside = {}


def test_turns_that_no_guard_changed_reach_the_upstream_as_they_came(url: str, stub: Stub) -> None:
    turns: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Where"}, {"type": "text", "text": "is it?"}]},
        {"role": "assistant", "content": None, "tool_calls": [called("look", "{}")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "by the lock"},
    ]
    with opened(url, policy(Filter())) as place:
        place.client.chat.completions.create(model="stub", messages=turns, tools=TOOLS, temperature=0.5, user="me")
    turns[1]["content"] = "Where\nis it?"
    assert stub.seen[-1] == {
        "model": "stub", "messages": turns, "tools": TOOLS, "temperature": 0.5, "user": "me",
    }  # fmt: skip
