"""What clients send: the bodies of the OpenAI routes, checked, and never repeated in what is said about them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from unteach.service.gateway.backend import Refused

LONGEST = 1 << 31
STOPS = 16


class TextPart(BaseModel):
    """A part of a message; text is all that guards can read."""

    model_config = ConfigDict(strict=True)
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn. What else a client sends with it, it does not reach the model."""

    model_config = ConfigDict(strict=True)
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """All that was said, the parts on lines of their own."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """How a reply is streamed."""

    model_config = ConfigDict(strict=True)
    include_usage: bool | None = None


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}]}
PROMPTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


class Body(BaseModel):
    """What both routes take; other fields are passed to an upstream, or refused where guards are worn."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, hide_input_in_errors=True)
    model: Annotated[str, Field(min_length=1, max_length=256)]
    max_tokens: Annotated[int | None, Field(ge=1, le=LONGEST)] = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    n: Annotated[int | None, Field(ge=1, le=128)] = None
    seed: Annotated[int | None, Field(ge=-(1 << 63), lt=1 << 63)] = None
    stop: Annotated[
        Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=STOPS)] | None,
        BeforeValidator(_listed), WithJsonSchema(TEXTS),
    ] = None  # fmt: skip
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ChatBody(Body):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=4096)]
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=LONGEST)] = None


class CompletionBody(Body):
    """The body of /v1/completions; tokens in place of text are refused."""

    prompt: Annotated[
        Annotated[list[str], Field(min_length=1, max_length=128)], BeforeValidator(_listed), WithJsonSchema(PROMPTS)
    ]


KNOWN = {  # fields of the OpenAI routes, which may be named to a client
    *ChatBody.model_fields, *CompletionBody.model_fields,
    *("logprobs", "top_logprobs", "echo", "best_of", "suffix", "logit_bias", "tools", "tool_choice", "functions"),
    *("function_call", "response_format", "prediction", "audio", "modalities", "web_search_options", "user", "metadata"),
    *("store", "service_tier", "presence_penalty", "frequency_penalty", "parallel_tool_calls", "reasoning_effort"),
    *("verbosity", "safety_identifier", "prompt_cache_key"),
}  # fmt: skip
HARMLESS = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
STEERING = {  # what an upstream may be told where guards are worn: its words still come through them
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "presence_penalty", "frequency_penalty"),
    *("reasoning_effort", "verbosity"),
}
NEUTRAL: tuple[object, ...] = (None, False, "", [], {})  # values that ask for nothing


def checked(cls: type[Body], content: bytes) -> Body:
    """The body of a request; a wrong one is refused by the name of the field, and nothing of it is repeated."""
    try:
        return cls.model_validate_json(content)
    except ValidationError as wrong:
        first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if not name:
        raise Refused(400, "invalid_json", "the body is not a JSON object; send one")
    sentence = f"the field '{name}' cannot be used; see the reference of this route"
    if first["type"] == "missing":
        sentence = f"the field '{name}', or a part of it, is missing; give it"
    raise Refused(400, "invalid_value", sentence, param=name)


def permit(others: Mapping[str, Any], allowed: set[str], why: str) -> None:
    """Refuse fields other than those allowed, where they ask for anything; only known names are repeated."""
    for name, value in others.items():
        if name in allowed or any(value is none or (value == none and value != 0) for none in NEUTRAL):
            continue
        known = name if name in KNOWN else ""
        what = f"the field '{known}'" if known else "a field that this route does not know"
        raise Refused(400, "unsupported_parameter", f"{what} {why}; leave it out", param=known)
