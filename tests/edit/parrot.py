"""A guard for tests; each test that saves it registers it, and takes it out of the registry again."""

from dataclasses import dataclass

from unteach.lm.guard import Guard, Session, Turns, asked, asking


@dataclass(frozen=True)
class Parrot(Guard, Session):
    """Hears one word as another, and squawks after every reply."""

    heard: str
    understood: str

    @property
    def observable(self) -> bool:
        return False

    def session(self) -> "Parrot":
        return self

    def ask(self, turns: Turns) -> Turns:
        return asking(turns, asked(turns).replace(self.heard, self.understood))

    def reply(self, text: str) -> str:
        return f"{text} Squawk."
