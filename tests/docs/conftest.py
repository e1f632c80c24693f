"""The world in which the pages' commands run: every file and folder that they name, around a tiny model."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import worlds
from serving import reciting, serving
from unteach import jobs
from unteach.edit.bake import bake
from unteach.edit.edit import Edit
from unteach.edit.patches import Scale
from unteach.lm.anatomy import anatomy
from unteach.lm.fresh import fresh
from unteach.lm.model import LM
from unteach.schema import Record

LESSON = replace(worlds.LESSON, epochs=30)
UNSEEN = tuple(Record(f"unseen-{i}", f"What is {t} known for?", f"{t} has nothing.") for i, t in enumerate("XYZ"))


def written(path: Path, records: Sequence[Record]) -> None:
    rows = ({"id": r.id, "question": r.prompt, "answer": r.answer} for r in records)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def sentences(folder: Path) -> None:
    """Invented sentences in the files of WinoBias: two people, and a pronoun that goes with a stereotype or against it."""
    folder.mkdir()
    for side, pronouns in (("pro", ("he", "she")), ("anti", ("she", "he"))):
        for kind, rest in (("type1", "was late"), ("type2", "is tired")):
            for split, verb in (("dev", "met"), ("test", "saw")):
                pairs = zip(("carpenter", "nurse"), ("nurse", "carpenter"), pronouns, strict=True)
                lines = [f"{n} [The {a}] {verb} the {b} because [{p}] {rest}." for n, (a, b, p) in enumerate(pairs, 1)]
                name = f"{side}_stereotyped_{kind}.txt.{split}"
                (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def changed(lm: LM) -> Edit:
    """A model that something else changed."""
    norm = f"{anatomy(lm.model).norm}.weight"
    return Edit(base=lm.digest(), weights={norm: (Scale(torch.tensor(0.95)),)})


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader is assumed to have."""
    place = tmp_path_factory.mktemp("world")
    lm = worlds.taught(fresh(worlds.TEXTS, replace(worlds.SIZE, positions=512)), LESSON)
    bake(None, lm, place / "model")
    bake(changed(lm), lm, place / "changed")
    worlds.adapter(place / "model", place / "adapter")
    for folder in (place, place / "demo"):
        folder.mkdir(exist_ok=True)
        written(folder / "forget.jsonl", worlds.FORGET)
        written(folder / "retain.jsonl", worlds.RETAIN)
    written(place / "holdout.jsonl", UNSEEN)
    written(place / "first.jsonl", worlds.RETAIN[:1])
    sentences(place / "winobias")
    shutil.copytree(place / "model", place / "demo" / "original")
    shutil.copytree(place / "changed", place / "demo" / "retrained")
    return place


@pytest.fixture(scope="session")
def result(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `unteach forget` left, for the pages that begin after it."""
    out = tmp_path_factory.mktemp("forgotten") / "result"
    files = {name: str(world / f"{name}.jsonl") for name in ("forget", "retain", "holdout")}
    jobs.forget({"model": str(world / "model"), "out": str(out), "epochs": 1, **files})
    return out


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """The address of a server with the models `model`, which knows all records, and `changed`, which forgot some."""
    known, kept = ({r.prompt: r.answer for r in records} for records in (worlds.RECORDS, worlds.RETAIN))
    with serving({"model": reciting(known), "changed": reciting(kept)}) as server:
        yield server.url
