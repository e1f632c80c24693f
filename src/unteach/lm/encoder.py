"""Records to token ids: chat templates, the border between prompt and answer, truncation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError

from unteach.lm.batch import Row
from unteach.schema import InputError, Message, Record

PLAIN = "{prompt} {answer}"  # what a model without a chat template is given
TOO_LONG = "sequence-length-is-longer-than-the-specified-maximum"  # what the library calls its warning
ANCHORS = ("", "\n", ".", "a")  # texts to encode an answer behind


@dataclass(frozen=True)
class Template:
    """How a record becomes text: the tokenizer's chat template, or a pattern with {prompt} and {answer}."""

    pattern: str = ""  # empty: the chat template where the tokenizer has one, else PLAIN
    eos: bool = True  # whether an answer ends with the end-of-text (or end-of-turn) token
    system: str = ""  # a system turn put before every conversation that has none

    def __post_init__(self) -> None:
        once = self.pattern.count("{prompt}") == self.pattern.count("{answer}") == 1
        if self.pattern and not (once and self.pattern.index("{prompt}") < self.pattern.index("{answer}")):
            raise InputError(
                "a template must hold {prompt} and then {answer}, once each; for example '{prompt} {answer}'"
            )

    def turns(self, prompt: str, messages: Sequence[Message] = ()) -> list[dict[str, str]]:
        """A question as a conversation."""
        turns = [{"role": m.role, "content": m.content} for m in messages] or [{"role": "user", "content": prompt}]
        if self.system and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": self.system})
        return turns

    def opening(self, prompt: str, messages: Sequence[Message] = ()) -> str:
        """A question as the text that stands before its answer."""
        words = "\n".join(m.content for m in messages) if messages else prompt
        if not words and not self.pattern:
            return ""
        head = (self.pattern or PLAIN).split("{answer}")[0].replace("{prompt}", words)
        # The space before an answer belongs to the answer's first token, as it does in running text.
        return head.rstrip(" ") if not self.pattern else head


class Encoder:
    """Records to rows for one tokenizer, one template and one greatest length."""

    def __init__(self, tokenizer: Any, template: Template, max_length: int) -> None:
        self.tokenizer, self.template, self.max_length = tokenizer, template, max_length
        # What is too long is cut here, and said elsewhere: the library need not warn of it.
        getattr(tokenizer, "deprecation_warnings", {})[TOO_LONG] = True
        self.chat = not template.pattern and bool(getattr(tokenizer, "chat_template", None))
        self._last: tuple[str | None, tuple[int, ...]] = None, ()
        self.appended = 0 if self.chat else self._appended()
        self.closing = self._closing() if template.eos else ()
        self.stops = tuple({*self._closing(), tokenizer.eos_token_id} - {None})  # what ends a generated answer

    @property
    def first(self) -> int:
        """What a generation from an empty prompt begins with."""
        found = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, 0)
        return next(i for i in found if i is not None)

    def row(self, record: Record) -> Row:
        """The ids of prompt and answer. Tokens are those the model meets when it answers the prompt by itself."""
        asked = self.prompt(record.prompt, record.messages)
        ids = [*asked, *self._answer(record, asked), *self.closing]
        start, cut = len(asked), max(0, len(ids) - self.max_length)
        if cut and start > self.max_length // 2:  # a long question loses its beginning, never the whole answer
            drop = min(cut, start - self.max_length // 2)
            ids, start = ids[drop:], start - drop
        return Row(tuple(ids[: self.max_length]), start, cut)

    def prompt(self, prompt: str, messages: Sequence[Message] = ()) -> list[int]:
        """The ids a model is given before it answers."""
        text = self._asked(prompt, messages)
        if text != self._last[0]:  # a question comes with several answers
            self._last = text, tuple(self._ids(text) if text or not self.chat else [])
        return list(self._last[1])

    def located(self, prompt: str, start: int, end: int) -> tuple[list[int], range]:
        """The ids of a prompt, and the numbers of those that hold any of its characters `start` to `end`."""
        text, kept = self._asked(prompt, ()), prompt.strip()
        shift = text.find(kept) - prompt.find(kept)
        if not getattr(self.tokenizer, "is_fast", False):
            raise InputError("the model's tokenizer does not tell where its tokens stand; save it as a fast tokenizer")
        if kept not in text:
            raise InputError(
                "the model's chat template changes the question; give a template such as '{prompt} {answer}'"
            )
        told = self.tokenizer(text, add_special_tokens=not self.chat, return_offsets_mapping=True)
        held = [n for n, (a, b) in enumerate(told["offset_mapping"]) if a < end + shift and b > start + shift]
        return self.prompt(prompt), range(held[0], held[-1] + 1)

    def _ids(self, text: str) -> list[int]:
        """The ids of a text that goes on: a special token that ends every text would be wrong behind it."""
        ids = self._encoded(text, specials=not self.chat)
        return ids[: len(ids) - self.appended]

    def _encoded(self, text: str, *, specials: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=specials, return_attention_mask=False)["input_ids"])

    def _asked(self, prompt: str, messages: Sequence[Message]) -> str:
        if self.chat:
            turns = self.template.turns(prompt, messages)
            try:
                return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
            except TemplateError as refused:
                roles = ", ".join(turn["role"] for turn in turns)
                raise InputError(
                    f"the model's chat template refuses turns of the roles {roles}; leave out the system turn, or "
                    "give a template such as '{prompt} {answer}'"
                ) from refused
        return self.template.opening(prompt, messages)

    def _answer(self, record: Record, asked: list[int]) -> list[int]:
        head = self._asked(record.prompt, record.messages)
        pattern = self.template.pattern
        glue = "" if self.chat or pattern or not head or head[-1:].isspace() or record.answer[:1].isspace() else " "
        body = glue + record.answer + (pattern.split("{answer}")[1] if pattern else "")
        whole = self._ids(head + body)
        return whole[len(asked) :] if whole[: len(asked)] == asked else self._alone(asked, body)

    def _alone(self, asked: list[int], body: str) -> list[int]:
        """The ids of an answer whose first token would merge with the prompt: it is encoded behind an anchor.

        Some tokenizers put a dummy space before every text, hence anchors other than none.
        """
        before = self._text(asked)
        for anchor in ANCHORS:
            lead, ids = (self._encoded(text, specials=False) for text in (anchor, anchor + body))
            answer = ids[len(lead) :]
            if ids[: len(lead)] == lead and self._text(asked + answer) == before + body:
                return answer
        return self._encoded(body, specials=False)

    def _appended(self) -> int:
        """How many special tokens the tokenizer puts behind every text."""
        ids, specials = self.tokenizer("a", add_special_tokens=True)["input_ids"], set(self.tokenizer.all_special_ids)
        return next((n for n, token in enumerate(reversed(ids)) if token not in specials), 0)

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _closing(self) -> tuple[int, ...]:
        """The token that ends an answer: the first special one after it in the chat template, else end-of-text."""
        if self.chat:
            turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "bcb"}]
            text = str(self.tokenizer.apply_chat_template(turns, tokenize=False))
            after = self.tokenizer(text.rpartition("bcb")[2], add_special_tokens=False)["input_ids"]
            if after and after[0] in self.tokenizer.all_special_ids:
                return (after[0],)
        eos = self.tokenizer.eos_token_id
        return () if eos is None else (eos,)
