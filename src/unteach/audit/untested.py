"""What an audit did not test, in plain words: a report without this list would claim too much."""

from collections.abc import Mapping, Sequence

from unteach.schema import Record

RETRAININGS = "how much several retrained models differ among themselves"
ATTACKS: Mapping[str, tuple[str, ...]] = {  # what is left untested, and the attacks of which any tests it
    "whether a little training, on some of the rows or on anything else, brings the rest back": (
        "relearn", "relearnbenign"),
    "whether rounding the weights to 8 or 4 bits brings them back": ("quantise",),
    "jailbreaks, role play, examples in the prompt, the beginning of the answer given away": (
        "affirmative", "roleplay", "fewshot", "manyshot", "prefix", "obfuscate", "optionforcing", "multiturn"),
    "the same questions in other languages": ("crosslingual",),
    "answers that are not the likeliest but come up when many are drawn": ("sampling",),
    "whether the knowledge can be read from the hidden states": ("probe", "logitlens", "softprompt"),
    "whether documents that are put before the model at each question still hold it": ("ragextraction",),
}  # fmt: skip


def untested(
    sets: Mapping[str, Sequence[Record]], roles: Mapping[str, str], *, retrained: int, unanswered: Sequence[str] = ()
) -> tuple[str, ...]:
    """One line for each test that was not made.

    `retrained` counts the models to compare with, and `unanswered` are the metrics that no model has a value for.
    """
    present = set(roles.values())
    found = []
    if not retrained:
        found.append("equality with a model trained without the rows: there was none to compare with")
    if "holdout" not in present:
        found.append("membership: there were no rows that the model never saw")
    if "general" not in present:
        found.append("general abilities: there was no set beside the retain rows")
    forget = [r for s, role in roles.items() if role == "forget" for r in sets[s]]
    if not any(r.paraphrases for r in forget):
        found.append("the forgotten questions in other words: the rows have no paraphrases")
    return (*found, *ATTACKS, *([RETRAININGS] if retrained < 2 else []), *unanswered)
