"""Greedy generation in length-sorted batches, with guards around each conversation.

Rows that have finished leave the batch, so one long answer does not keep the others waiting.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from unteach.lm.continuous import ContinuousBatch, Reply, decoded
from unteach.lm.encoder import Encoder
from unteach.lm.guard import Conversation, Guard, Session, Turns, asked
from unteach.schema import Message, Record

TOKENS_AT_ONCE = 65536  # prompt positions in one batch
TALKS_AT_ONCE = 64  # conversations behind guards, each of which may keep states of a second model


def generate(
    model: nn.Module,
    encoder: Encoder,
    prompts: Sequence[str | Record],
    max_new: int,
    *,
    guards: Sequence[Guard] = (),
    begun: Sequence[int] | None = None,
    until: Sequence[str] = (),
    pad: int,
    started: Callable[[Tensor], None],
) -> list[str]:
    """Greedy answers of at most `max_new` tokens, in the order of the prompts.

    `begun` says with how many tokens of its own answer the model is known to answer each record; guards forget it.
    An answer ends before any of `until`. A guard sees all of it, and what the guard makes of it is cut.
    """
    records = [Record("", p, "") if isinstance(p, str) else p for p in prompts]
    if guards:
        texts = _guarded(model, encoder, records, guards, max_new, pad, started)
        return [cut(text, until) for text in texts]
    replies = [opened(encoder, turns_of(record), max_new, until=until) for record in records]
    for reply, record, known in zip(replies, records, begun or (), strict=False):
        if known:
            _begin(encoder, reply, record, known)
    write(model, encoder, replies, max_new, pad=pad, started=started)
    return [cut(decoded(encoder, reply.ids), until) for reply in replies]


def _guarded(
    model: nn.Module, encoder: Encoder, records: Sequence[Record], guards: Sequence[Guard], max_new: int, pad: int,
    started: Callable[[Tensor], None],
) -> list[str]:  # fmt: skip
    """Conversations behind guards, some at a time, asked round by round: in each round all that want an answer."""
    texts: list[str] = []
    for first in range(0, len(records), TALKS_AT_ONCE):
        talks = [Conversation(guards, turns_of(record)) for record in records[first : first + TALKS_AT_ONCE]]
        while waiting := [(t, t.turns) for t in talks if t.turns is not None]:
            replies = [opened(encoder, turns, max_new, t.sessions) for t, turns in waiting]
            write(model, encoder, replies, max_new, pad=pad, started=started)
            for (t, _), reply in zip(waiting, replies, strict=True):
                t.hear(decoded(encoder, reply.ids))
                t.hear(None)
        texts += [t.said for t in talks]
    return texts


def extend(
    model: nn.Module,
    encoder: Encoder,
    prompts: Sequence[Sequence[int]],
    lengths: Sequence[int],
    *,
    pad: int,
    started: Callable[[Tensor], None],
) -> list[list[int]]:
    """What the model itself writes after given ids, greedily: at most so many tokens each, fewer where it ends."""
    replies = [
        Reply(list(ids), [], min(length, encoder.max_length - len(ids)))
        for ids, length in zip(prompts, lengths, strict=True)
    ]
    write(model, encoder, replies, max(lengths, default=0), pad=pad, started=started)
    return [reply.ids for reply in replies]


def write(
    model: nn.Module, encoder: Encoder, replies: Sequence[Reply], max_new: int, *, pad: int,
    started: Callable[[Tensor], None],
) -> None:  # fmt: skip
    """Write replies to their ends, in batches of like lengths."""
    replies = sorted((r for r in replies if r.room > 0), key=lambda r: len(r.given))
    while replies:
        count = max(1, TOKENS_AT_ONCE // (len(replies[-1].given) + max_new))
        batch = ContinuousBatch(model, encoder, pad=pad, started=started)
        batch.join(replies[-count:])
        while batch.replies:
            batch.step()
        replies = replies[:-count]


def turns_of(record: Record) -> Turns:
    """A row's question as a conversation."""
    return record.messages or (Message("user", record.prompt),)


def opened(
    encoder: Encoder, turns: Turns, max_new: int, sessions: Sequence[Session] = (), *, until: Sequence[str] = ()
) -> Reply:
    """An answer that is to be written; a conversation that leaves no room for it loses its beginning."""
    ids = encoder.prompt(asked(turns), turns if len(turns) > 1 else ())
    ids = ids[-max(1, encoder.max_length - min(max_new, encoder.max_length // 2)) :] or [encoder.first]
    return Reply(ids, sessions, min(max_new, encoder.max_length - len(ids)), until=until)


def _begin(encoder: Encoder, reply: Reply, record: Record, known: int) -> None:
    """Write down what is known of an answer, up to what ends it."""
    row = encoder.row(record)
    if list(row.prompt) != reply.prompt:  # one of the two was cut
        return
    ids = list(row.ids[row.start : row.start + min(known, reply.room)])
    end = next((n for n, token in enumerate(ids) if token in encoder.stops), None)
    reply.ids = ids[:end]
    reply.room = reply.room - len(ids) if end is None else 0


def cut(text: str, until: Sequence[str]) -> str:
    """A text up to the first of those that end it."""
    for end in until:
        text = text.partition(end)[0] if end else text
    return text
