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
from unteach.lm.guard import Guard, Session
from unteach.lm.reworded import reworded
from unteach.lm.trace import positions_of
from unteach.lm.view import likeliest
from unteach.schema import Record

TOKENS_AT_ONCE = 65536  # prompt positions in one batch


@dataclass
class _Reply:
    prompt: list[int]
    sessions: list[Session]
    room: int  # tokens that the answer may have beyond those it has
    ids: list[int] = field(default_factory=list)
    until: Sequence[str] = ()  # texts that end the answer

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
    replies = [_open(encoder, prompt, guards, max_new) for prompt in prompts]
    for reply, prompt, known in zip(replies, prompts, begun or (), strict=False):
        if known and not guards and isinstance(prompt, Record):
            _begin(encoder, reply, prompt, known)
    for reply in replies:
        reply.until = () if guards else until
    _write(model, encoder, [r for r in replies if r.room > 0], max_new, pad, started)
    return [cut(_text(encoder, reply), until) for reply in replies]


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
        _Reply(list(ids), [], min(length, encoder.max_length - len(ids)))
        for ids, length in zip(prompts, lengths, strict=True)
    ]
    _write(model, encoder, [r for r in replies if r.room > 0], max(lengths, default=0), pad, started)
    return [reply.ids for reply in replies]


def _write(
    model: nn.Module, encoder: Encoder, replies: Sequence[_Reply], max_new: int, pad: int,
    started: Callable[[Tensor], None],
) -> None:  # fmt: skip
    order = sorted(range(len(replies)), key=lambda i: (len(replies[i].given), i))
    device = next(model.parameters()).device
    while order:
        width = len(replies[order[-1]].given) + max_new
        count = max(1, TOKENS_AT_ONCE // width)
        now, order = order[-count:], order[:-count]
        _decode(model, encoder, [replies[i] for i in now], max_new, pad, device, started)


def _open(encoder: Encoder, prompt: str | Record, guards: Sequence[Guard], max_new: int) -> _Reply:
    record = Record("", prompt, "") if isinstance(prompt, str) else prompt
    sessions = [g.session() for g in guards]
    for session in sessions:
        words = session.prompt(record.prompt)
        record = reworded(record, words) if words != record.prompt else record
    ids = encoder.prompt(record.prompt, record.messages)
    ids = ids[-max(1, encoder.max_length - min(max_new, encoder.max_length // 2)) :] or [encoder.first]
    return _Reply(ids, sessions, room=min(max_new, encoder.max_length - len(ids)))


def _begin(encoder: Encoder, reply: _Reply, record: Record, known: int) -> None:
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
    model: nn.Module, encoder: Encoder, replies: list[_Reply], max_new: int, pad: int,
    device: torch.device, started: Callable[[Tensor], None],
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
        chosen = _choose(head(model, out.last_hidden_state[:, -1]), [replies[i] for i in alive])
        stay = [k for k, token in enumerate(chosen) if token not in encoder.stops]
        for k in stay:
            replies[alive[k]].ids.append(chosen[k])
            replies[alive[k]].room -= 1
        stay = [k for k in stay if replies[alive[k]].room > 0 and not _over(encoder, replies[alive[k]])]
        if not stay:
            return
        keep = torch.tensor(stay, device=device)
        if len(stay) < len(alive):
            cache.batch_select_indices(keep)
            real, lengths, alive = real[keep], lengths[keep], [alive[k] for k in stay]
            started(lengths[:, 0])
        ids = torch.tensor(chosen, device=device)[keep][:, None]
        real = torch.cat([real, torch.ones_like(real[:, :1])], 1)


def _choose(logits: Tensor, replies: Sequence[_Reply]) -> list[int]:
    if any(r.sessions for r in replies):
        logits = logits.clone()
        for row, reply in zip(logits, replies, strict=True):
            so_far = torch.tensor(reply.given, device=logits.device)
            for session in reply.sessions:
                row.copy_(session.logits(so_far, row))
    chosen: list[int] = likeliest(logits).tolist()
    return chosen


def _text(encoder: Encoder, reply: _Reply) -> str:
    text = _decoded(encoder, reply.ids)
    for session in reply.sessions:
        text = session.reply(text)
    return text


def _decoded(encoder: Encoder, ids: Sequence[int]) -> str:
    return str(encoder.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _over(encoder: Encoder, reply: _Reply) -> bool:
    """Whether the last token completed one of the texts that end the answer."""
    width = 4 * max(map(len, reply.until), default=0) + 1  # a character has at most four bytes, and so tokens
    return bool(reply.until) and any(text in _decoded(encoder, reply.ids[-width:]) for text in reply.until)


def cut(text: str, until: Sequence[str]) -> str:
    """A text up to the first of those that end it."""
    for end in until:
        text = text.partition(end)[0] if end else text
    return text
