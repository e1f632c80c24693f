"""A guard for tests; each test that saves it registers it, and takes it out of the registry again."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parrot:
    """Hears one word as another, and squawks after every reply."""

    heard: str
    understood: str

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Parrot":
        return self

    def prompt(self, text: str) -> str:
        return text.replace(self.heard, self.understood)

    def logits(self, _ids: Tensor, logits: Tensor) -> Tensor:
        return logits

    def reply(self, text: str) -> str:
        return f"{text} Squawk."
