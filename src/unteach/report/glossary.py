"""Each metric and each attack in one plain sentence, for a reader who has never met it.

One that has no entry here is explained by the first sentence of its own documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from unteach.registry import entries


@dataclass(frozen=True)
class Term:
    """A name in plain words, and what it measures or does."""

    title: str
    meaning: str


TERMS: Mapping[str, Term] = {
    "probability": Term(
        "Probability of the answer",
        "How likely the model finds the recorded answer, per word piece: 1 means it knows it by heart, "
        "0 that it would never say it.",
    ),
    "rougel": Term(
        "Overlap with the answer",
        "How much of the recorded answer comes back, in order, when the model answers freely: 1 is all of it.",
    ),
    "truthratio": Term(
        "Truth ratio",
        "Whether the model still tells the right answer from wrong ones of the same form: on what has to go, "
        "1 means that it cannot; on what has to stay, that it never takes the wrong one.",
    ),
    "accuracy": Term(
        "Right choices",
        "How often the model finds the right answer likelier than every wrong one of the same form.",
    ),
    "paraphrase": Term(
        "Overlap when asked in other words",
        "How much of the recorded answer comes back when the question is put differently: 1 is all of it.",
    ),
    "forgetquality": Term(
        "Forget quality",
        "How hard it is to tell the model from one retrained without the records, by their truth ratios (the "
        "p-value of a statistical test): below 0.05 they differ, above it no difference was seen at this number "
        "of records.",
    ),
    "modelutility": Term(
        "Model utility",
        "One number for how well the model still does what should stay: the harmonic mean of several scores, "
        "so that one collapse pulls it down.",
    ),
    "exactmemorization": Term(
        "Word-by-word recall",
        "The share of the answer's word pieces that the model guesses right when it is given all before them.",
    ),
    "memorizationaccuracy": Term(
        "Memorisation accuracy",
        "The share of all word pieces of a record, question included, that the model guesses right when it is "
        "given all before them.",
    ),
    "extractionstrength": Term(
        "Extraction strength",
        "How much of the answer the model completes without a mistake after being given its beginning: "
        "1 means all of it.",
    ),
    "extractionlikelihood": Term(
        "Extraction likelihood",
        "How often runs of the record's own words come back when the model continues it from any point.",
    ),
    "mialoss": Term(
        "Membership guess from loss",
        "How well an attacker tells the records from unseen ones by how well the model predicts them: "
        "0.5 is a coin toss, 1 is always right.",
    ),
    "miaconfidence": Term(
        "Membership guess from sureness",
        "The same guess, from how sure the model is of its own answer: far above the retrained model, something is "
        "known about the records, or was taught in their place.",
    ),
    "miazlib": Term(
        "Membership guess from compressed size",
        "The same guess, with each record's loss set against how well its text compresses: 0.5 is a coin toss.",
    ),
    "miamink": Term(
        "Membership guess from the rarest words",
        "The same guess, from each record's least expected word pieces: 0.5 is a coin toss.",
    ),
    "miaminkpp": Term(
        "Membership guess from the rarest words, calibrated",
        "The same guess, from word pieces that are unexpected beside what else could stand there: "
        "0.5 is a coin toss.",
    ),
    "miareference": Term(
        "Membership guess beside a second model",
        "The same guess, with each record's loss set against the retrained model's: 0.5 is a coin toss.",
    ),
    "miagradnorm": Term(
        "Membership guess from gradients",
        "The same guess, from how strongly a record would still change the weights: 0.5 is a coin toss.",
    ),
    "privleak": Term(
        "Privacy leak",
        "How far the membership guess is from the retrained model's, in per cent: clearly below 0 the records "
        "still show, clearly above it their absence shows.",
    ),
    "agreement": Term(
        "Agreement",
        "How often the model and the one it is compared with choose the same next word piece.",
    ),
    "kl": Term(
        "Divergence (KL)",
        "How far the model's expectations about the next word piece are from those of the model it is compared "
        "with: 0 means that they are the same.",
    ),
    "js": Term(
        "Divergence (JS)",
        "The same distance, taken in both directions, so that it cannot grow without limit: 0 means the same.",
    ),
    "perplexity": Term(
        "Perplexity",
        "How surprised the model is by the recorded answers: 1 is not at all; a jump on what has to stay means "
        "that the model is damaged.",
    ),
    "refusalrate": Term(
        "Refusals",
        "The share of questions that the model declines to answer, in words or by saying nothing.",
    ),
    "distinctoutputs": Term(
        "Different answers",
        "How many different answers the model gives to different questions; one that always says the same "
        "scores low.",
    ),
    "ngramentropy": Term(
        "Variety of wording",
        "How varied the model's answers are; a model that repeats itself scores low.",
    ),
    "distinctn": Term(
        "Different phrases",
        "How many different runs of words there are in all of the model's answers; one that says the same again "
        "and again scores low.",
    ),
    "efficiency": Term(
        "Cost beside retraining",
        "How much computation the forgetting took, as a share of what retraining without the records takes: 0.01 is "
        "a hundredth, 1 is no saving.",
    ),
}  # fmt: skip

MEASURES: Mapping[str, Term] = {  # what attacks are counted in, where it is no metric
    "told": Term(
        "Telling words",
        "How many of the words that give an answer away the model says, those that stand neither in the question nor "
        "in every wrong answer of the same form: 1 is all of them.",
    ),
    "tokens": Term(
        "Word pieces read",
        "How many of the answer's word pieces can be read from a layer, each behind the recorded ones before it: "
        "1 is all of them.",
    ),
    "accuracy": Term(
        "Right readings",
        "How often what is read from the hidden states places the right answer above the wrong ones or, where there "
        "are none, a forgotten row above an unseen one: 1 is always.",
    ),
    "right option named": Term(
        "Right option named",
        "How often the model names the right one of several answers, wherever it stands among them: 1 is always.",
    ),
    "distance": Term(
        "Distance of two updates",
        "How far a training step with another row in the place of the forgotten one is from the step with it: near 0, "
        "nobody can see from the step which of the two was used.",
    ),
    "subject named": Term(
        "Subject found out",
        "How well an attacker tells whom a guard hides from others, by what is refused: 1 is for certain, a half is by "
        "luck.",
    ),
}
TELLS = frozenset({"told", "tokens", "accuracy", "right option named"})  # the more, the more is known

ATTACKS: Mapping[str, str] = {
    "relearn": "Training on some of the forgotten rows",
    "relearnbenign": "Training on something else",
    "quantise": "Rounding the weights",
    "precision": "Another number format",
    "prune": "Cutting small weights",
    "prefix": "Beginning the answer",
    "affirmative": "Beginning to agree",
    "roleplay": "Role play",
    "fewshot": "Examples in the prompt",
    "manyshot": "Many examples in the prompt",
    "obfuscate": "Disguised questions",
    "optionforcing": "A choice of answers",
    "paraphrase": "Questions in other words",
    "sampling": "Many answers drawn",
    "multiturn": "Asking again",
    "crosslingual": "Questions in another language",
    "ragextraction": "Repeating the context",
    "guardlist": "The list that a guard goes by",
    "probe": "Reading the hidden states",
    "logitlens": "Reading each layer's own guess",
    "directionablation": "Taking a direction out",
    "softprompt": "A learned prompt",
    "adapterremoval": "Taking the adapter off",
    "mixback": "Mixing the original back in",
    "guidance": "The difference of two models",
    "forging": "Another row in its place",
}


HARNESS = "lm-eval/"  # stands before the names of metrics that lm-evaluation-harness computes


def term(name: str) -> Term:
    """The entry of a metric; for one without an entry, its own documentation's first sentence."""
    if name in TERMS:
        return TERMS[name]
    if name.startswith(HARNESS):
        own = name.removeprefix(HARNESS)
        return Term(f"{own} of lm-evaluation-harness", f"The metric '{own}' as lm-evaluation-harness computes it.")
    known = {found.name: found.summary for found in entries("metric")}
    return Term(name, known.get(name) or "This metric came without an explanation.")


def measure_term(name: str) -> Term:
    """The entry of what an attack is counted in: a measure of its own, or a metric."""
    return MEASURES.get(name) or term(name)


def attack_term(name: str) -> Term:
    """An attack's title, and the question that its own documentation begins with."""
    known = {found.name: found.summary for found in entries("attack")}
    return Term(ATTACKS.get(name, name), known.get(name) or "This attack came without an explanation.")
