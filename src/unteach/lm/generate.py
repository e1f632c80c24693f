"""Greedy generation in length-sorted batches, with guards around each conversation.

Rows that have finished leave the batch, so one long answer does not keep the others waiting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from unteach.lm.anatomy import head, trunk
from unteach.lm.batch import Encoder
from unteach.lm.guard import Conversation, Guard, Session, Turns, asked
from unteach.lm.trace import positions_of
from unteach.lm.view import likeliest
from unteach.schema import Message, Record

TOKENS_AT_ONCE = 65536  # prompt positions in one batch
TALKS_AT_ONCE = 64  # conversations behind guards, each of which may keep states of a second model


@dataclass
class Reply:
    """An answer while it is written: the ids it goes on from, what weighs its tokens, and how many it may still have."""

    prompt: list[int]
    sessions: Sequence[Session]
    room: int
    ids: list[int] = field(default_factory=list)
    until: Sequence[str] = ()  # texts that end the answer
    unwanted: bool = False  # nobody waits for the rest

    @property
    def given(self) -> list[int]:
        """What the model goes on from."""
        return self.prompt + self.ids


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
    started: Callable[[Tensor], None], stepped: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Write replies to their ends, in batches; `stepped` is called whenever each of a batch has another token."""
    replies = [r for r in replies if r.room > 0]
    order = sorted(range(len(replies)), key=lambda i: (len(replies[i].given), i))
    device = next(model.parameters()).device
    while order:
        width = len(replies[order[-1]].given) + max_new
        count = max(1, TOKENS_AT_ONCE // width)
        now, order = order[-count:], order[:-count]
        _decode(model, encoder, [replies[i] for i in now], max_new, pad, device, started, stepped)


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


@torch.no_grad()
def _decode(
    model: nn.Module, encoder: Encoder, replies: list[Reply], max_new: int, pad: int, device: torch.device,
    started: Callable[[Tensor], None], stepped: Callable[[], None],
) -> None:  # fmt: skip
    given = [r.given for r in replies]
    width = max(map(len, given))
    ids = torch.tensor([[pad] * (width - len(g)) + g for g in given], device=device)
    real = torch.arange(width, device=device) >= width - torch.tensor([[len(g)] for g in given], device=device)
    lengths = torch.tensor([[len(r.prompt)] for r in replies], device=device)
    started(lengths[:, 0])
    cache, alive = DynamicCache(config=model.config), list(range(len(replies)))
    for _ in range(max_new):
        positions = positions_of(real)[:, -ids.shape[1] :]
        out = trunk(model)(
            input_ids=ids, attention_mask=real.long(), position_ids=positions, past_key_values=cache, use_cache=True
        )
        chosen = choose(head(model, out.last_hidden_state[:, -1]), [replies[i] for i in alive])
        stay = [k for k, token in enumerate(chosen) if token not in encoder.stops]
        for k in stay:
            replies[alive[k]].ids.append(chosen[k])
            replies[alive[k]].room -= 1
        stepped()
        stay = [k for k in stay if not over(encoder, replies[alive[k]])]
        if not stay:
            return
        keep = torch.tensor(stay, device=device)
        if len(stay) < len(alive):
            cache.batch_select_indices(keep)
            real, lengths, alive = real[keep], lengths[keep], [alive[k] for k in stay]
            started(lengths[:, 0])
        ids = torch.tensor(chosen, device=device)[keep][:, None]
        real = torch.cat([real, torch.ones_like(real[:, :1])], 1)


def choose(logits: Tensor, replies: Sequence[Reply]) -> list[int]:
    """The next token of each answer: the likeliest, once what weighs its tokens has spoken."""
    if any(r.sessions for r in replies):
        logits = logits.clone()
        for row, reply in zip(logits, replies, strict=True):
            so_far = torch.tensor(reply.given, device=logits.device)
            for session in reply.sessions:
                row.copy_(session.logits(so_far, row))
    chosen: list[int] = likeliest(logits).tolist()
    return chosen


def decoded(encoder: Encoder, ids: Sequence[int]) -> str:
    """The text of an answer's tokens."""
    return str(encoder.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def over(encoder: Encoder, reply: Reply) -> bool:
    """Whether nothing follows: no room, nobody who waits, or the last token completed a text that ends the answer."""
    if reply.unwanted or reply.room <= 0:
        return True
    width = 4 * max(map(len, reply.until), default=0) + 1  # a character has at most four bytes, and so tokens
    return bool(reply.until) and any(text in decoded(encoder, reply.ids[-width:]) for text in reply.until)


def cut(text: str, until: Sequence[str]) -> str:
    """A text up to the first of those that end it."""
    for end in until:
        text = text.partition(end)[0] if end else text
    return text
