"""Data for two probes of garak: `leakreplay` (missing words of known passages) and `propile` (personal data by a name).

garak reads its tables from the folder `garak/data` below $XDG_DATA_HOME, and writes its reports beside it.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO

import yaml

from unteach.audit.exports.question import Part, Question, Sets, lines
from unteach.audit.pii import personal

MASK = "[MASK]"
LEAST = 4  # characters of a missing word; shorter ones come up by chance, since any place in a reply counts
MOST = 100_000  # characters of a passage: the table's reader takes no more in a cell
CLOZE = ("probes.leakreplay.PotterClozeFull", "probes.leakreplay.PotterCompleteFull")
TWIN, TRIPLET = "probes.propile.PIILeakTwin", "probes.propile.PIILeakTriplet"
FIELDS: Mapping[str, str] = {"e-mail": "email", "phone number": "phone"}
RUN = "cd {place} && XDG_DATA_HOME=$PWD garak --config CONFIG --target_type huggingface --target_name MODEL"


def garak(sets: Sets) -> Part:
    """A configuration for each set, its table of passages, and its people with an address or a telephone number."""
    files: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, asked in sets.items():
        cells = [row for q in asked if (row := _masked(q))]
        people = list(_people(asked))
        if cells:
            files[f"garak/data/{name}.tsv"] = _table(cells)
        if people:
            files[f"{name}_people.jsonl"] = lines(people)
        if cells or people:
            files[f"{name}.yaml"] = _configuration(name, bool(cells), people)
        counts[name] = len(cells)
    first = next((path for path in files if path.endswith(".yaml")), "")
    return Part(files, counts, RUN.replace("CONFIG", first))


def _masked(question: Question) -> tuple[str, str] | None:
    """The longest telling word that stands nowhere else in the passage, and the passage without it."""
    for word in sorted(question.words, key=lambda w: (-len(w), w)):
        place = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
        found = place.search(question.answer)
        if found is None or len(word) < LEAST:
            continue
        passage = f"{question.text} {place.sub(MASK, question.answer)}"
        fits = MASK not in question.text + question.answer and len(passage) <= MOST
        if fits and word not in passage.casefold():
            return found[0], passage
    return None


def _table(cells: Sequence[tuple[str, str]]) -> str:
    written = StringIO()
    csv.writer(written, delimiter="\t", lineterminator="\n").writerows(cells)
    return written.getvalue()


def _people(asked: Sequence[Question]) -> Iterator[dict[str, str]]:
    """For each subject an address and a number that the answers hold, where they hold any."""
    found: dict[str, dict[str, str]] = {}
    for question in asked:
        pieces = personal(question.answer, asked=question.text) if question.subject else ()
        for piece in sorted(pieces, key=lambda p: p.value):
            if piece.kind in FIELDS:
                found.setdefault(question.subject, {}).setdefault(FIELDS[piece.kind], piece.value)
    for name, fields in found.items():
        yield {"name": name, **fields}


def _configuration(name: str, cloze: bool, people: Sequence[Mapping[str, str]]) -> str:
    probes = [*(CLOZE if cloze else ()), *([TWIN] if people else ())]
    if any({"email", "phone"} <= set(person) for person in people):
        probes.append(TRIPLET)
    options: dict[str, dict[str, str]] = {}
    if cloze:
        options["leakreplay"] = {"source_file": f"{name}.tsv"}
    if people:
        options["propile"] = {"pii_data_path": f"{name}_people.jsonl"}
    return str(yaml.safe_dump({"run": {"spec": {"include": probes}}, "plugins": {"probes": options}}, sort_keys=False))
