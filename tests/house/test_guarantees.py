"""Nobody but a few files can say exact or certified, and nothing that can be built elsewhere does."""

import ast
from pathlib import Path

import pytest

from unteach import registry
from unteach.methods.exact.guarantees import indistinguishable, influence_free, retrain_equal
from unteach.schema import STRENGTH

SOURCE = Path(__file__).parents[2] / "src" / "unteach"
WORDS = {  # file: the classes that it builds
    "methods/exact/guarantees.py": set(STRENGTH[:2]),
    "methods/conversation/store/changes.py": {"exact"},  # of a store of documents, and of nothing that was trained
}
MAY_CLAIM = {  # file: the classes whose evidence it owns
    "methods/exact/shards/sharded.py", "methods/exact/shards/mergeshards.py", "methods/exact/shards/sisa.py",
    "methods/exact/shards/retrain.py", "methods/exact/shards/periodicretrain.py", "methods/exact/shards/leaveoneout.py",
    "methods/exact/shards/s3t.py", "methods/exact/shards/siftmasks.py", "methods/exact/shards/fairsisa.py",
    "methods/exact/shards/sisafc.py",
    "methods/exact/heads/naivebayes.py", "methods/exact/heads/ridge.py", "methods/exact/heads/ngram.py",
    "methods/exact/heads/qkmeans.py", "methods/exact/heads/dckmeans.py", "methods/exact/heads/erase.py",
    "methods/exact/heads/certifiedremoval.py", "methods/exact/heads/sekhari.py",
    "methods/exact/heads/descenttodelete.py",
    "methods/exact/analysis/noisyfinetune.py", "methods/exact/private/dpsgd.py", "methods/exact/private/pate.py",
    "service/releases.py",
}  # fmt: skip
FACTORIES = {f.__name__ for f in (retrain_equal, influence_free, indistinguishable)}
FILES = {str(f.relative_to(SOURCE)): f for f in sorted(SOURCE.rglob("*.py"))}


def claims(tree: ast.AST) -> set[str]:
    """The factories that a file imports, and the classes above empirical that it builds by hand."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "unteach.methods.exact.guarantees":
            found |= {a.name for a in node.names} & FACTORIES
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Guarantee":
            kinds = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "kind")]
            found |= {k.value for k in kinds if isinstance(k, ast.Constant)} & set(STRENGTH[:2])
    return found


@pytest.mark.parametrize("name", FILES)
def test_only_those_who_own_the_evidence_claim_more_than_empirical(name: str) -> None:
    found = claims(ast.parse(FILES[name].read_text(encoding="utf-8")))
    if name in WORDS:
        assert found == WORDS[name]
    else:
        assert not found & set(STRENGTH[:2]), f"{name} builds a guarantee by hand"
        assert not found or name in MAY_CLAIM, f"{name} may not claim {sorted(found)}"


def test_the_scan_sees_a_claim() -> None:
    assert claims(ast.parse("Guarantee('exact')")) == {"exact"}
    assert claims(ast.parse("Guarantee(kind='certified')")) == {"certified"}
    assert claims(ast.parse("from unteach.methods.exact.guarantees import retrain_equal")) == {"retrain_equal"}
    assert claims(ast.parse("Guarantee('empirical')")) == set()


@pytest.mark.parametrize("entry", registry.entries("method"), ids=lambda e: e.name)
def test_no_method_that_changes_a_trained_model_promises_more_than_empirical(entry: registry.Entry) -> None:
    assert entry.guarantee in ("empirical", "suppression", "none") or entry.name == "noisyfinetune"
