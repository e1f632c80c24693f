"""The patient: a causal language model with its tokenizer, read here and changed nowhere in this package."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from threading import RLock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from unteach.lm.anatomy import anatomy, blocks, plain_name, trunk
from unteach.lm.batch import Batch, collate
from unteach.lm.continuous import ContinuousBatch
from unteach.lm.encoder import Encoder, Template
from unteach.lm.forward import Head, States, at_answers, at_answers_only, computed, inside
from unteach.lm.generate import extend, generate
from unteach.lm.guard import Guard
from unteach.lm.packed import packs
from unteach.lm.trace import Enter, Site, Start, entering, positions_of, run_into, run_to, tapped, watched
from unteach.lm.view import Pass
from unteach.schema import InputError, Record


class LM:
    """A causal language model, its tokenizer, and the guards it wears.

    `model` is a plain `transformers` model; where the user's model is a LoRA adapter on a base, PEFT's layers
    are injected into it and `adapter` holds the adapter's configuration.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        template: Template | None = None,
        adapter: Any = None,
        source: str = "",
    ) -> None:
        anatomy(model)  # an unknown family is refused before anything is done
        self.model: Any = model.eval()
        self.tokenizer, self.adapter, self.source = tokenizer, adapter, source
        self.guards: list[Guard] = []
        self.template = template or Template()
        self.encoder = Encoder(tokenizer, self.template, self.max_length)
        self.worn: list[str] = []  # digests of the edits worn now, first to last
        self.lock = RLock()  # held while an edit is worn or trained
        self._prompt_end: Tensor | None = None
        self._taps = 0  # what reads or replaces states wants them row by row
        self._digest: tuple[tuple[int, ...], str] | None = None

    @property
    def max_length(self) -> int:
        limits = (getattr(self.model.config, "max_position_embeddings", 0), self.tokenizer.model_max_length)
        return int(min(n for n in limits if n)) if any(limits) else 2048

    @property
    def device(self) -> torch.device:
        found: torch.device = next(self.model.parameters()).device
        return found

    @property
    def pad(self) -> int:
        found = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        return next(i for i in found if i is not None)

    @property
    def held(self) -> "LM":
        """The model itself: its weights are here."""
        return self

    @property
    def observable(self) -> bool:
        """Whether log-probabilities still describe what a user meets."""
        return all(guard.observable for guard in self.guards)

    @property
    def chat(self) -> bool:
        """Whether the tokenizer lays conversations out."""
        return self.encoder.chat

    def question_length(self, record: Record) -> int:
        """Tokens of a question as it is asked."""
        return len(self.encoder.prompt(record.prompt, record.messages))

    def answer_length(self, record: Record) -> int:
        """Tokens of an answer as it is read."""
        row = self.encoder.row(record)
        return len(row.ids) - row.start

    def batch(self, records: Sequence[Record]) -> Batch:
        """Records side by side as token ids and masks; rows that are too long are cut (see `Row.cut`)."""
        rows = [self.encoder.row(r) for r in records]
        return collate(rows, [r.id for r in records], pad=self.pad, device=self.device)

    def logits(self, batch: Batch, weights: Mapping[str, Tensor] | None = None) -> Float[Tensor, "N V"]:
        """Logits at the N answer tokens; the output head runs nowhere else.

        `weights` stand in for parameters of the same name during this call.
        """
        return self._call(Head(self.model), weights, self._answering(batch, weights))

    def run(self, batch: Batch, weights: Mapping[str, Tensor] | None = None, *, enter: Enter | None = None) -> Pass:
        """A lazy forward pass over a batch, from the first block or from the one that `enter` names."""
        headed = partial(self._call, Head(self.model), weights)

        @cache
        def states() -> Tensor:
            with entering(blocks(self.model), enter):
                return self._answering(batch, weights)

        def hidden(layer: float) -> Tensor:
            with entering(blocks(self.model), enter), self._at_answers_only(batch, self.layer(layer)):
                return at_answers(self._states(batch, self.layer(layer), weights), batch)

        return Pass(batch, lambda: headed(states()), hidden, lambda: headed(states(), batch.targets))

    @torch.no_grad()
    def enter(self, batch: Batch, start: Start, *, enter: Enter | None = None) -> Enter | None:
        """What enters a model where a change of it begins; None where that is the first block, or rows cannot be packed.

        Where somebody reads the block inside which it begins, that is the whole block.
        """
        run = partial(self._states, batch, weights=None)
        inner = start.inside and not watched(blocks(self.model)[start.layer])
        if not self._packs or not (inner or start.layer):
            return None
        with entering(blocks(self.model), enter):
            return inside(self.model, start.layer, run) if inner else Enter(start.layer, run(start.layer - 1))

    def inputs(
        self, batch: Batch, paths: Sequence[str], weights: Mapping[str, Tensor] | None = None, *,
        enter: Enter | None = None,
    ) -> list[Float[Tensor, "R D"]]:  # fmt: skip
        """What goes into modules, in the order in which they run, at the R computed tokens of a batch.

        Nothing behind the last of them is computed.
        """
        call = partial(self._whole, batch, weights)
        with entering(blocks(self.model), enter):
            found = run_into(self.model, paths, call)
        return [computed(states, batch) for states in found]

    def outputs(
        self, batch: Batch, path: str, weights: Mapping[str, Tensor] | None = None, *, enter: Enter | None = None
    ) -> Float[Tensor, "R D"]:
        """What a module puts out at the R computed tokens of a batch; nothing behind it is computed."""
        call = partial(self._whole, batch, weights)
        with entering(blocks(self.model), enter):
            return computed(run_to(self.model, path, call), batch)

    def _states(self, batch: Batch, layer: int, weights: Mapping[str, Tensor] | None) -> Tensor:
        path = f"{anatomy(self.model).blocks}.{layer}"
        return run_to(self.model, path, partial(self._whole, batch, weights))

    def _answering(self, batch: Batch, weights: Mapping[str, Tensor] | None) -> Float[Tensor, "N D"]:
        with self._at_answers_only(batch, self.layers - 1):
            return at_answers(self._whole(batch, weights), batch)

    def _at_answers_only(self, batch: Batch, layer: int) -> AbstractContextManager[None]:
        return at_answers_only(self.model, layer, batch) if self._packs else nullcontext()

    @property
    def _packs(self) -> bool:
        return not self._taps and packs(self.model)

    def _whole(self, batch: Batch, weights: Mapping[str, Tensor] | None) -> Tensor:
        self._prompt_end = batch.answer.int().argmax(1)
        try:
            return self._call(States(self.model, packed=self._packs), weights, batch)
        finally:
            self._prompt_end = None

    def _call(self, module: nn.Module, weights: Mapping[str, Tensor] | None, *given: Any) -> Tensor:
        inner = {f"model.{name}": value for name, value in self._stored(weights).items()} if weights else {}
        found: Tensor = functional_call(module, inner, given) if inner else module(*given)
        return found

    def _stored(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Plain names as the names under which the model (perhaps wrapped by PEFT) keeps them."""
        names = {plain_name(name): name for name, _ in self.model.named_parameters()}
        return {names[name]: value for name, value in weights.items()}

    def generate(
        self, prompts: Sequence[str | Record], max_new: int = 64, *, begun: Sequence[int] | None = None,
        until: Sequence[str] = (), encoder: Encoder | None = None,
    ) -> list[str]:  # fmt: skip
        """Greedy answers to prompts, in their order, with every guard in force, each up to the first of `until`.

        `begun` says with how many tokens of each record's answer the model is known to begin; where it wears guards
        or is tapped, that is asked anew. `encoder` lays prompts out otherwise than the model's own.
        """
        try:
            return generate(
                self.model, encoder or self.encoder, prompts, max_new, guards=self.guards, until=until, pad=self.pad,
                begun=None if self._taps else begun, started=self.started,
            )  # fmt: skip
        finally:
            self._prompt_end = None

    def extend(self, prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
        """Greedy continuations of token ids, each of at most its length; no guard is asked."""
        try:
            return extend(self.model, self.encoder, prompts, lengths, pad=self.pad, started=self.started)
        finally:
            self._prompt_end = None

    def writing(self) -> ContinuousBatch:
        """A batch of answers that is empty, for whoever writes them a token at a time."""
        return ContinuousBatch(self.model, self.encoder, pad=self.pad, started=self.started)

    @contextmanager
    def tap(self, path: str, fn: Callable[[Tensor, Site], Tensor | None]) -> Iterator[None]:
        """Read or replace the output (B, T, D) of the module at `path`; `fn` is told where it stands."""
        seen: list[Site] = []

        def arrive(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen[:] = [self._site(kwargs["input_ids"] if "input_ids" in kwargs else args[0], kwargs)]

        def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen[0] = replace(seen[0], entered=args[0] if args else kwargs.get("hidden_states"))

        arriving = trunk(self.model).register_forward_pre_hook(arrive, with_kwargs=True)
        given = self.model.get_submodule(path).register_forward_pre_hook(enter, with_kwargs=True)
        self._taps += 1
        try:
            with tapped(self.model, path, lambda output: fn(output, seen[0])):
                yield
        finally:
            self._taps -= 1
            arriving.remove()
            given.remove()

    def _site(self, ids: Tensor, kwargs: Mapping[str, Any]) -> Site:
        width = ids.shape[1]
        real = kwargs.get("attention_mask")
        real = torch.ones_like(ids, dtype=torch.bool) if real is None else real.bool()
        decoding = real.shape[1] > width
        ends = real.sum(1) if self._prompt_end is None else self._prompt_end
        return Site(real[:, -width:], positions_of(real)[:, -width:], ends, "decode" if decoding else "prompt")

    def started(self, prompt_end: Tensor) -> None:
        """A generation begins: `prompt_end` (B,) tells taps where the prompts end."""
        self._prompt_end = prompt_end

    def parameters(self) -> dict[str, nn.Parameter]:
        """The plain model's parameters by their plain names, tied ones once, adapters' own left out."""
        found = {}
        for name, parameter in self.model.named_parameters():
            if ".lora_" not in name and "modules_to_save" not in name:
                found[plain_name(name)] = parameter
        return found

    @property
    def layers(self) -> int:
        return len(blocks(self.model))

    def layer(self, where: float) -> int:
        """The number of a block (from 0): `where` itself from 1 on, below 1 that share of the depth."""
        number = int(where) if where >= 1 else int(where * self.layers)
        if not 0 <= number < self.layers:
            raise InputError(f"the model has layers 0 to {self.layers - 1}; choose among them, or a share below 1")
        return number

    def digest(self) -> str:
        """SHA-256 of what is worn: every weight by name, type, shape and bytes, then the edits over it."""
        state = {plain_name(n): t for n, t in self.model.state_dict(keep_vars=True).items()}
        stamp = tuple(x for t in state.values() for x in (t.data_ptr(), t._version))
        if self.worn:
            return self.worn[-1]
        if self._digest is None or self._digest[0] != stamp:
            self._digest = (stamp, weights_digest(state))
        return self._digest[1]


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes; a tied weight counts once, under its first name."""
    sha, seen = hashlib.sha256(), set()
    for name, tensor in sorted(state.items()):
        if tensor.data_ptr() in seen and tensor.numel():
            continue
        seen.add(tensor.data_ptr())
        sha.update(f"{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1e".encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()
