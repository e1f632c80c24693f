"""What the sharded learners have in common: a corpus, a build of it, and deleting as building again what changed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from unteach.edit.edit import Edit
from unteach.edit.patches import Patch
from unteach.lm.fingerprint import digest, fingerprint
from unteach.lm.model import LM
from unteach.methods.exact.guarantees import influence_free
from unteach.methods.exact.shards import merge
from unteach.methods.exact.shards.nodes import Build, InMemory, Node, complete, feeding, laid_out, named, parted
from unteach.methods.exact.shards.shardplan import ShardPlan
from unteach.methods.exact.shards.stage import WEIGHT, LMTrainer, Schooling, Tensors
from unteach.schema import Guarantee, InputError, Record


@dataclass(frozen=True, eq=False)
class Corpus:
    """A model and the records that it is to be taught."""

    lm: LM
    records: tuple[Record, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if len({r.id for r in self.records}) < len(self.records):
            raise InputError("two records bear the same id; give each its own")

    def without(self, ids: Sequence[str]) -> "Corpus":
        """The corpus less these records; an id that is not there, or comes twice, is refused."""
        known = {r.id for r in self.records}
        strange = len(ids) - len(known.intersection(ids))
        if strange:
            raise InputError(f"{strange} of {len(ids)} ids are not in the data, or given twice; name each once")
        if len(known) == len(ids):
            raise InputError("nothing would be left; give the model up instead")
        return replace(self, records=tuple(r for r in self.records if r.id not in set(ids)))


@dataclass(frozen=True, eq=False)
class Sharded:
    """Trained shards: the corpus, the plan, the nodes of the build, and their tensors by name."""

    corpus: Corpus
    plan: ShardPlan
    school: Schooling
    build: Build
    kept: InMemory = field(repr=False)
    trained: int = 0  # records of the steps that the last change took

    @property
    def trainer(self) -> LMTrainer:
        return LMTrainer(self.corpus.lm, self.plan, self.school)

    def last(self, shard: int) -> Tensors:
        """A shard's tensors after its last stage."""
        return self.at(self.build[shard][-1])

    def at(self, node: Node) -> Tensors:
        found = self.kept.get(node.id)
        assert found is not None, "every node of a build was trained"
        return found

    def living(self) -> tuple[int, ...]:
        """The shards that have records."""
        return tuple(sorted(parted(self.plan, self.corpus.records)))

    def digest(self) -> str:
        """Names every bit of the artefacts that are released from."""
        ends = [(s, n, _content(self.last(s))) for s, (*_, n) in self.build.items()]
        return named("artefacts", *ends)

    def pruned(self) -> "Sharded":
        """The same without artefacts that no node of the build names."""
        alive = {n.id for chain in self.build.values() for n in chain}
        return replace(self, kept=InMemory({k: t for k, t in self.kept.found.items() if k in alive}))

    def worn(self, patches: dict[str, tuple[Patch, ...]], made_by: str, guarantee: Guarantee) -> Edit:
        return Edit(self.corpus.lm.digest(), patches, made_by=made_by, guarantee=guarantee)


def _content(tensors: Tensors) -> str:
    return named(*((name, t.cpu().contiguous().numpy().tobytes().hex()) for name, t in sorted(tensors.items())))


def taught(corpus: Corpus, plan: ShardPlan, school: Schooling, kept: InMemory | None = None) -> Sharded:
    """Train all that is not there yet; from nothing, that is the clean build."""
    store = kept or InMemory({})
    trainer = LMTrainer(corpus.lm, plan, school)
    made_of = named(trainer.digest(), digest(fingerprint(corpus.lm.device)))
    build = laid_out(plan, made_of, corpus.records)
    done = complete(build, plan, trainer, corpus.records, store)
    return Sharded(corpus, plan, school, build, store, sum(n.trained for n in done))


def rebuilt(state: Sharded, ids: Sequence[str]) -> Sharded:
    """The build of what is left; artefacts that no record of these ids fed are taken over."""
    left = state.corpus.without(ids)
    found = taught(left, state.plan, state.school, InMemory(dict(state.kept.found)))
    return found.pruned()


def clean_nodes(state: Sharded, ids: Collection[str]) -> dict[int, Node | None]:
    """Of each shard that has records the last stage which none of these ids fed; None where there is none."""
    gone = set(ids)
    found: dict[int, Node | None] = {}
    for shard, records in parted(state.plan, state.corpus.records).items():
        stages = [n for n in state.build[shard] if not any(r.id in gone for r in feeding(state.plan, records, n.stage))]
        found[shard] = stages[-1] if stages else None
    return found


def merged(state: Sharded, parts: Sequence[Tensors], weight: float, guarantee: Guarantee, made_by: str) -> Edit:
    """One edit of several shards: the mean of their weights in whole numbers, `weight` times."""
    if not parts:
        return state.worn({}, made_by, guarantee)
    chosen = [{n: t for n, t in part.items() if n.startswith(WEIGHT)} for part in parts]
    values = merge.mean(merge.total(chosen), len(parts))
    patches = state.trainer.patches(values)
    if weight != 1:
        return state.worn(patches, made_by, guarantee).scaled(weight)
    return state.worn(patches, made_by, guarantee)


def at_once(state: Sharded, ids: Collection[str], weight: float = 1.0) -> Edit:
    """The merge of what none of these records fed: there before anything is trained again."""
    parts = [state.at(n) for n in clean_nodes(state, ids).values() if n is not None]
    return merged(state, parts, weight, influence_free("the merge of the clean stages"), "at_once")
