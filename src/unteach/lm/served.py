"""A model behind an OpenAI-compatible server: it can be asked, and nobody can look inside.

What is sent are questions; the key comes from the environment. Neither comes back in an error, and no address with
what may be secret in it.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from logging import WARNING, getLogger
from math import ceil
from typing import Any, Literal
from urllib.parse import parse_qsl, urlunsplit

from unteach.lm.address import UNREADABLE, parts_of, shown
from unteach.lm.encoder import Template
from unteach.schema import InputError, Record

Api = Literal["chat", "completions"]
WORKERS = 4  # questions on their way at a time
RETRIES = 4  # with pauses that double from half a second on
PATIENCE, FIRST_PATIENCE = 120.0, 20.0  # seconds for an answer, and for the first sign of life
BYTES = 3  # of text in a token, or more, in most languages
CONTEXT = 2048  # tokens, where a server does not say
NO_KEY = "none"  # what is sent to a server that may ask for none: the client wants one
LASTING = ("id", "owned_by", "root", "parent", "max_model_len")  # what a server says the same of a model every time
TALKATIVE = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")  # they log addresses, and some what is sent
NO_PACKAGE = "a served model is asked with the package 'openai', which is not here; pip install 'unteach[judge]'"
STATUS = {
    400: "cannot use a question; lower --max-new, or try another --api",
    401: "refuses the key; set the environment variable OPENAI_API_KEY",
    403: "refuses the key; set the environment variable OPENAI_API_KEY",
    404: "has no such route or model; end the address in /v1, check the model's name, or try another --api",
    429: "is asked too often; wait, or ask fewer rows with --asked",
}
MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError)  # what a reply that is none leads to


@dataclass(frozen=True, eq=False)
class Served:
    """A model as its server offers it: `address` without anything secret, its name there, and the route taken.

    `reported` is what the server says of it. Log-probabilities are not asked for.
    """

    address: str
    name: str
    api: Api
    template: Template
    reported: Mapping[str, Any]
    client: Any = field(repr=False)
    guards: tuple[()] = ()

    @property
    def held(self) -> None:
        return None

    @property
    def observable(self) -> bool:
        return False

    @property
    def chat(self) -> bool:
        return self.api == "chat"

    @property
    def max_length(self) -> int:
        told = self.reported.get("max_model_len")
        return told if isinstance(told, int) and told > 0 else CONTEXT

    def question_length(self, record: Record) -> int:
        turns = record.messages or (record,)
        return sum(_tokens(t.prompt if isinstance(t, Record) else t.content) for t in turns)

    def answer_length(self, record: Record) -> int:
        return _tokens(record.answer)

    def generate(
        self, prompts: Sequence[str | Record], max_new: int = 64, *, begun: Sequence[int] | None = None  # noqa: ARG002
    ) -> list[str]:  # fmt: skip
        """The likeliest answers, in the order of the prompts; several are on their way at a time."""
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(partial(self._answer, max_new=max_new), prompts))

    def _answer(self, prompt: str | Record, max_new: int) -> str:
        record = Record("", prompt, "") if isinstance(prompt, str) else prompt
        settings = {"model": self.name, "max_tokens": max_new, "temperature": 0, "seed": 0}
        with _explained(self.address):
            if self.chat:
                turns = self.template.turns(record.prompt, record.messages)
                reply = self.client.chat.completions.with_raw_response.create(messages=turns, **settings)
                found = _json(reply)["choices"][0]["message"]["content"]
            else:
                text = self.template.opening(record.prompt, record.messages)
                reply = self.client.completions.with_raw_response.create(prompt=text, **settings)
                found = _json(reply)["choices"][0]["text"]
            if found is not None and not isinstance(found, str):
                raise TypeError("a text was expected")
        return found or ""

    def digest(self) -> str:
        """SHA-256 of the address, the name and what the server reports; of the weights it says nothing."""
        told = [self.address, self.name, self.api, self.reported]
        return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def connect(url: str, name: str = "", *, api: Api = "chat", template: Template | None = None) -> Served:
    """The model of a name behind a URL, or the only one there; `URL#NAME` names it too.

    Raises `InputError` where no server answers, the key is refused or there is no such model.
    """
    parts = parts_of(url)
    address, openai = shown(urlunsplit(parts._replace(fragment=""))), _package()
    try:
        client = openai.OpenAI(
            base_url=urlunsplit(parts._replace(query="", fragment="")), default_query=dict(parse_qsl(parts.query)),
            api_key=os.environ.get("OPENAI_API_KEY", "").strip() or NO_KEY, timeout=PATIENCE, max_retries=RETRIES,
        )  # fmt: skip
    except Exception:  # whatever the library finds wrong with an address, it may repeat
        raise InputError(UNREADABLE) from None
    listed = _listed(client, address)
    name = _chosen(parts.fragment or name, listed, address)
    reported = {key: value for key, value in (listed or {}).get(name, {}).items() if key in LASTING}
    return Served(address, name, api, template or Template(), reported, client)


def _package() -> Any:
    try:
        import openai
    except ModuleNotFoundError:
        raise InputError(NO_PACKAGE) from None
    for name in TALKATIVE:
        getLogger(name).setLevel(WARNING)
    return openai


def _listed(client: Any, address: str) -> dict[str, Mapping[str, Any]] | None:
    """What a server says of each model that it has; None where it lists none."""
    patient = client.with_options(timeout=FIRST_PATIENCE, max_retries=1)
    with _explained(address):
        try:
            return {str(m["id"]): m for m in _json(patient.models.with_raw_response.list())["data"]}
        except _package().NotFoundError:
            return None


def _chosen(name: str, listed: Mapping[str, object] | None, address: str) -> str:
    if listed is None:
        if not name:
            raise InputError(f"{address}: lists no models; end the address in /v1, or name one with --served-model")
        return name
    there = ", ".join(sorted(listed)[:10]) or "none"
    if name and name not in listed:
        raise InputError(f"{address}: has no model '{name[:80]}'; it has {there}")
    if not name and len(listed) != 1:
        raise InputError(f"{address}: has {len(listed)} models ({there}); name one with --served-model, or as URL#NAME")
    return name or next(iter(listed))


def _json(reply: Any) -> Any:
    return reply.http_response.json()


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """The client's failures as one sentence, without the question, the key or the reply that they hold."""
    openai = _package()
    try:
        yield
    except openai.APITimeoutError:
        raise InputError(f"{address}: does not answer in time; look whether the server is busy") from None
    except openai.APIConnectionError:
        raise InputError(f"{address}: no server answers; start it, or check the address") from None
    except openai.APIStatusError as wrong:
        what = STATUS.get(wrong.status_code, f"answers with status {wrong.status_code}; look into the server's log")
        raise InputError(f"{address}: {what}") from None
    except (openai.OpenAIError, *MALFORMED):
        raise InputError(
            f"{address}: its reply is not that of an OpenAI-compatible server; check the address"
        ) from None


def _tokens(text: str) -> int:
    return ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES)
