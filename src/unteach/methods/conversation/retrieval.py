"""Retrieval: what is to be deletable lies in a store and is looked up; the model need not have learned it."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from unteach.lm.guard import Guard, Streaming, Turns, asked, asking
from unteach.lm.model import LM
from unteach.methods.conversation.store.changes import about, delete
from unteach.methods.conversation.store.stored import Found, opened
from unteach.registry import guard
from unteach.schema import InputError, Need, Request

PASSAGE, QUESTION = "Passage: {}", "Question: {}"


@guard("retrieval", tested_by="test_after_a_deletion_all_is_as_in_a_store_that_was_built_without_the_document")
@dataclass(frozen=True)
class Retrieval(Guard, Streaming):
    """A question is asked with the passages before it that a store of documents holds on it; deleting is done there.

        Passage: TEXT          at most `k`, the nearest last, of a cosine of `near` or more
        Question: QUESTION

    `store` is the folder of a store that ``unteach.methods.conversation.store.changes.build`` made. Fitted to a request,
    the guard deletes from it, for good, every document that has the id or the subject of a row to forget, or says its
    answer: its word 3-grams, or those of one of its sentences, have a Jaccard similarity of `same` or more to those of
    the answer, alone or behind its question. Subjects are those that rows name themselves. Passages, vectors, indexes
    and files go, and a ledger of salted hashes refuses the same text later; undoing the edit brings nothing of it back.
    What is deleted there, by whomever, is gone from the next question on. Documents should be in the store and never in
    the training: Min et al. 2023, arXiv:2308.04430. Lewis et al. 2020, arXiv:2005.11401, for retrieval itself;
    Wang et al. 2024, arXiv:2410.15267, for forgetting by what is retrieved. `embedder` is the folder of the
    sentence-transformers model that made the vectors, where letters did not.

    Needs forget rows, and a store. What is not guaranteed: the deletion is exact for the store, byte for byte that of one
    built without the documents, and says nothing of the model: what its weights learned from the documents, from copies
    or paraphrases elsewhere, they still know. Passages can be asked out of the store, and what they say as an
    instruction a model may follow. A document that tells the same in other words, under no subject, is not found.

    Example: ``Retrieval(store="documents").fitted(Request(forget=rows), None)``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"forget"})
    store: str = ""
    k: int = 3
    near: float = 0.3
    same: float = 0.8
    embedder: str = ""
    deleted: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        if self.k < 0 or not 0 <= self.near <= 1 or not 0 < self.same <= 1:
            raise InputError("retrieval takes k passages, not fewer than 0, and shares up to 1 for 'near' and 'same'")

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Retrieval":
        return self

    def fitted(self, request: Request, lm: LM | None) -> Self:  # noqa: ARG002 - the words suffice
        if not self.store:
            raise InputError("retrieval looks things up in a store of documents; name its folder with store=FOLDER")
        opened(self.store, self.embedder)  # so that nothing is deleted where it cannot be asked
        delete(self.store, about(self.store, request.forget, self.same))
        return replace(self, deleted=opened(self.store, self.embedder).deleted)

    def ask(self, turns: Turns) -> Turns:
        passages = self.found(asked(turns)) if self.store else ()
        if not passages:
            return turns
        shown = [PASSAGE.format(found.text) for found in reversed(passages)]
        return asking(turns, "\n".join([*shown, QUESTION.format(asked(turns))]))

    def found(self, text: str) -> tuple[Found, ...]:
        """The passages for a question, the nearest first, of the store as it is now.

        An older copy of the store than the guard was fitted to, put back with its ledger, is refused.
        """
        store = opened(self.store, self.embedder)
        if store.deleted < self.deleted:
            raise InputError(f"{self.store}: an older copy of the store was put back; put back the newer one")
        return store.nearest(text, self.k, self.near)
