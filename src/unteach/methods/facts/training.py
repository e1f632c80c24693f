"""The training of an editor: it corrects facts, is told how well they hold, and what else has moved."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Protocol

import torch
from torch import Tensor, nn

from unteach.edit import checkpoint
from unteach.edit.plan import draw
from unteach.lm.batch import Batch, collate
from unteach.lm.model import LM
from unteach.lm.trace import Enter, Start
from unteach.lm.view import View
from unteach.methods.facts.gradients import Change, changed, gradients, still
from unteach.methods.facts.lessons import Lesson
from unteach.methods.facts.practice import Practice
from unteach.schema import InputError

CHECKPOINT_SECONDS = 60
LINES = 20  # of progress


class Editor(Protocol):
    """A network that turns the gradients of facts into a change; `told` is each fact in words, as embeddings (T, D)."""

    def __call__(self, found: Change, told: Sequence[Tensor]) -> Change: ...


@dataclass(frozen=True)
class Losses:
    """Of one step: the loss of the new answers a token, and how far unrelated answers have moved, in nats."""

    edit: float
    drift: float


def practise(
    lm: LM, net: nn.Module, paths: Sequence[str], lessons: Sequence[Lesson], practice: Practice, *,
    about: str = "", say: Callable[[str], None] | None = None,
) -> tuple[Losses, ...]:  # fmt: skip
    """Train an editor of the maps at `paths` in place; the model is left as it was.

    Where a place for checkpoints is set it goes on from the newest whole one.
    """
    steps = practice.steps
    small = [p for n, p in net.named_parameters() if n.startswith("steps")]
    other = [p for n, p in net.named_parameters() if not n.startswith("steps")]
    adam = torch.optim.Adam(
        [{"params": other, "of": practice.lr}, {"params": small, "of": practice.step_lr}], fused=True
    )
    mark = _fingerprint(lm, net, lessons, practice, about)
    history, saved = _resumed(net, adam, mark), monotonic()
    with lm.lock, still(lm):
        net.train()
        for step in range(len(history), steps):
            for group in adam.param_groups:
                group["lr"] = group["of"] * (1 - step / steps)
            history.append(_step(lm, net, adam, paths, _chosen(lessons, practice, step), practice))
            if say is not None and (step + 1) % max(1, steps // LINES) == 0:
                say(_line(history, steps))
            if monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == steps:
                _save(net, adam, history, mark)
                saved = monotonic()
        net.eval()
    return tuple(history)


def _line(history: Sequence[Losses], steps: int) -> str:
    last = history[-max(1, steps // LINES) :]
    edit, drift = (sum(getattr(x, name) for x in last) / len(last) for name in ("edit", "drift"))
    return f"step {len(history)} of {steps}: new answers {edit:.3f} nats a token, drift {drift:.4f}"


@dataclass(frozen=True)
class _Drawn:
    """A lesson with the wording and the unrelated question of one step."""

    lesson: Lesson
    same: int
    other: int


def _chosen(lessons: Sequence[Lesson], practice: Practice, step: int) -> list[_Drawn]:
    """The lessons of a step: passes over all of them, each in an order of its own."""
    found, size = [], practice.batch
    for k in range(step * size, (step + 1) * size):
        lap, at = divmod(k, len(lessons))
        lesson = lessons[_order(len(lessons), practice.seed, lap)[at]]
        same, other = (draw(practice.seed, which, step, k) for which in ("wording", "unrelated"))
        found.append(_Drawn(lesson, same % len(lesson.same), other % max(1, len(lesson.other))))
    return found


def _order(count: int, seed: int, lap: int) -> list[int]:
    return sorted(range(count), key=lambda n: draw(seed, "lessons", lap, n))


def _step(
    lm: LM, net: nn.Module, adam: torch.optim.Adam, paths: Sequence[str], drawn: Sequence[_Drawn], practice: Practice,
) -> Losses:  # fmt: skip
    found = gradients(lm, [d.lesson.edit for d in drawn], paths)
    change: Change = net(found, embedded(lm, [d.lesson.told for d in drawn]))
    edit, drift = _losses(lm, change, drawn, practice.together)
    loss = practice.c_edit * edit + practice.c_loc * drift
    if not torch.isfinite(loss.detach()):
        raise InputError("the loss of the editor in training became infinite; lower its rates (lr, step_lr)")
    adam.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), practice.clip)
    adam.step()
    return Losses(edit.item(), drift.item())


def _losses(lm: LM, change: Change, drawn: Sequence[_Drawn], together: int) -> tuple[Tensor, Tensor]:
    """The loss of the new answers, and the drift of the unrelated ones, each row under its own group's change."""
    with_other = [n for n, d in enumerate(drawn) if d.lesson.other]
    rows = [d.lesson.same[d.same] for d in drawn] + [drawn[n].lesson.other[drawn[n].other] for n in with_other]
    batch = collate(rows, [""] * len(rows), pad=lm.pad, device=lm.device)
    meets = torch.tensor([*range(len(drawn)), *with_other], device=lm.device) // together
    grouped = {p: type(t)(t.x, t.delta, t.fact // together) for p, t in change.items()}
    enter = _entered(lm, batch, change)
    kept = slice(len(drawn), len(rows))
    with torch.no_grad():
        before = View(lm.run(batch, enter=enter), kept).logits.log_softmax(-1)
    with changed(lm, grouped, batch, meets):
        run = lm.run(batch, enter=enter)
        new, after = -View(run, slice(0, len(drawn))).means.mean(), View(run, kept).logits.log_softmax(-1)
    drift = (before.exp() * (before - after)).sum(-1).sum() / max(1, len(before))
    return new, drift


def _entered(lm: LM, batch: Batch, change: Mapping[str, object]) -> Enter | None:
    """The states that enter the first block with a change: what lies below it runs once."""
    first = min(int(next(part for part in path.split(".") if part.isdigit())) for path in change)
    return lm.enter(batch, Start(first))


@torch.no_grad()
def embedded(lm: LM, texts: Sequence[str]) -> list[Tensor]:
    """Texts as the model's own embeddings, (T, D) each."""
    table, most = lm.model.get_input_embeddings(), lm.max_length
    ids = (torch.tensor(lm.tokenizer(text)["input_ids"][:most], device=lm.device) for text in texts)
    return [table(i).float() for i in ids]


def _fingerprint(lm: LM, net: nn.Module, lessons: Sequence[Lesson], practice: Practice, about: str) -> str:
    sha = hashlib.sha256(json.dumps([lm.digest(), asdict(practice), about]).encode())
    for lesson in lessons:
        sha.update(
            f"{lesson.told}\x1f{lesson.edit}\x1f{lesson.same}\x1f{lesson.other}".encode("utf-8", "surrogatepass")
        )
    for name, tensor in sorted(net.state_dict().items()):
        sha.update(f"{name}\x1f{tuple(tensor.shape)}".encode())
    return sha.hexdigest()


def _save(net: nn.Module, adam: torch.optim.Adam, history: Sequence[Losses], mark: str) -> None:
    tensors = {f"net.{n}": t for n, t in net.state_dict().items()}
    for name, parameter in net.named_parameters():
        tensors |= {f"adam.{key}.{name}": t for key, t in adam.state[parameter].items()}
    notes = {"history": [[x.edit, x.drift] for x in history]}
    checkpoint.save(checkpoint.State(len(history), tensors, notes), mark)


def _resumed(net: nn.Module, adam: torch.optim.Adam, mark: str) -> list[Losses]:
    state = checkpoint.newest(mark)
    if state is None:
        return []
    net.load_state_dict({n.removeprefix("net."): t for n, t in state.tensors.items() if n.startswith("net.")})
    for name, parameter in net.named_parameters():
        kept = {key: state.tensors.get(f"adam.{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
        adam.state[parameter] = {key: t.to(parameter.device) for key, t in kept.items() if t is not None}
    return [Losses(*values) for values in state.notes["history"]]
