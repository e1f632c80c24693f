"""Command-line flags from the fields of dataclasses."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

Given = Mapping[str, Any]
WORDS = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL [KEY=VALUE]...", help="model folder or hub id", show_default=False),
]


def from_fields(*classes: type[Any], but: tuple[str, ...] = (), panels: tuple[str, ...] = ()) -> Callable[..., Any]:
    """Turn `run(words, given)` into a command that has a flag for every field of the classes.

    `given` holds the flags that were written and nothing else, so that defaults stay where they are defined;
    `words` everything that is no such flag, in its order.
    """

    def decorate(run: Callable[[Sequence[str], Given], None]) -> Callable[..., None]:
        parameters = [inspect.Parameter("words", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=WORDS)]
        for cls, panel in zip(classes, panels, strict=True):
            hints = get_type_hints(cls, include_extras=True)
            parameters += [_parameter(f, hints[f.name], panel) for f in fields(cls) if f.name not in (*but, "model")]

        # The command line hands over its values by name; which names there are is what the classes say.
        def command(words: list[str] | None, **values: Any) -> None:
            run(words or (), {k: v for k, v in values.items() if v is not None})

        command.__name__, command.__doc__ = run.__name__, run.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameter(field: Field[Any], hint: Any, panel: str) -> inspect.Parameter:
    kind, help_text = (get_args(hint)[:2]) if get_origin(hint) is Annotated else (hint, "")
    default = "" if field.default in (MISSING, None, "") else f" [default: {field.default}]"
    if kind is bool:
        info: Any = typer.Option(f"--{field.name.replace('_', '-')}", help=help_text, rich_help_panel=panel)
    else:
        spellings = dict.fromkeys((f"--{field.name.replace('_', '-')}", f"--{field.name}"))
        info = typer.Option(
            *spellings, help=help_text + default, rich_help_panel=panel,
            show_default=False, metavar=_metavar(kind),
        )  # fmt: skip
    # Values stay text here: they are checked, with better sentences, where recipes and methods are made.
    annotation: Any = Annotated[bool | None, info] if kind is bool else Annotated[str | None, info]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _metavar(kind: Any) -> str:
    options = [a for a in get_args(kind) if a is not type(None)]
    if options and all(isinstance(o, str) for o in options):
        return "|".join(options)
    name = getattr(options[0] if options else kind, "__name__", "value")
    return {"str": "TEXT", "int": "INT", "float": "NUMBER"}.get(name, "TEXT")
