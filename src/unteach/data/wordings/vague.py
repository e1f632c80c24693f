"""Answers that stay with the question and tell nothing: no name but the question's, no place, date or number.

Sentences are grown from a small grammar, by what a question asks for. A word in braces is a symbol, everything else is
said. Words of one symbol fit each other, so that few forms give many sentences.
"""

import re
from collections.abc import Iterator, Mapping

from unteach.data.wordings.lot import lot
from unteach.data.wordings.subjects import row
from unteach.data.wordings.values import values
from unteach.data.wordings.vocabulary import words
from unteach.schema import Record

LONGEST = 4  # words in a name that can be put into a sentence
ASKED: Mapping[str, str] = {  # what a question asks for, by its words; the first that fits
    "contact": "email mail phone telephone contact address reach number website",
    "money": "bank account income salary insurance credit financial investment savings loan mortgage",
    "health": "medical health condition diagnosis allergy allergies treatment therapy hospital illness disease patient",
    "birth": "born birth birthday birthplace birthdate age",
    "family": "parents parent father mother family spouse wife husband children siblings marital married upbringing",
    "prize": "award awards prize prizes honor honored honors accolades recognition recognized recognised won",
    "works": "book books novel novels title titles written published publication story stories debut works",
    "style": "genre genres theme themes style writing narrative narratives character characters plot technique",
    "sway": "influence influenced influences impact impacted inspired inspire inspiration shaped shape affect affected",
    "work": "profession professions occupation occupations job career work living employed company position",
    "home": "live lives reside resides residence located where city country village street town from",
    "name": "name who gender identify identity called",
    "time": "when year date time long recently currently",
}
TOPICS: Mapping[str, tuple[str, str]] = {  # how each may be called: adjectives, and nouns in the plural
    "contact": ("customary|direct|official|ordinary|preferred|private|public|usual", "arrangements|channels|contacts|exchanges|habits|letters"),
    "money": ("economic|everyday|financial|household|material|practical", "affairs|arrangements|circumstances|decisions|habits|matters|plans|priorities"),
    "health": ("everyday|general|mental|ordinary|overall|personal|physical", "circumstances|habits|needs|routines|strengths|matters"),
    "birth": ("distant|early|first|formative|opening|youthful", "beginnings|chapters|days|origins|roots|stages|years"),
    "family": ("ancestral|close|domestic|familial|household|inherited|parental", "bonds|circumstances|connections|origins|relations|surroundings|ties|traditions"),
    "prize": ("critical|deserved|formal|institutional|professional|wider", "achievements|distinctions|honours|merits|successes"),
    "works": ("collected|creative|finished|imaginative|longer|published|shorter|written", "contributions|efforts|pages|pieces|projects|texts|volumes"),
    "style": ("artistic|expressive|formal|literary|narrative|stylistic|thematic", "choices|interests|leanings|methods|preferences|techniques"),
    "sway": ("cultural|emotional|formative|gradual|indirect|lasting|mutual|subtle", "connections|echoes|effects|impressions|influences|motives|traces"),
    "work": ("chosen|daily|occupational|practical|professional|steady|vocational|working", "commitments|duties|engagements|pursuits|roles|years"),
    "home": ("communal|geographic|local|neighbouring|regional|residential|surrounding", "connections|environs|roots|settings|surroundings|ties"),
    "name": ("individual|outward|perceived|personal|public|social", "appearances|descriptions|impressions|portrayals|traits"),
    "time": ("continuing|current|earlier|later|ongoing|present|recent", "activities|developments|milestones|periods|phases|plans|steps"),
    "": ("broader|general|overall|related|relevant|underlying|wider", "aspects|circumstances|considerations|issues|matters|questions"),
}  # fmt: skip
FORMS = (
    "{sourced} {sources} {cover} {whose} {topic} {softly}, {giving} {soft} {notions} {above} {hard} {facts}.",
    "{whose} {topic} {appear} {softly} {across} {sourced} {sources}, where {hard} {facts} {yield} {soft} {notions}.",
    "In {sourced} {sources}, {whose} {topic} {suggest} {soft} {notions} {above} {hard} {facts}.",
    "{people} {often} {link} {whose} {topic} with {soft} {notions}, though {sourced} {sources} {offer} few {hard} {facts}.",
    "{soft} {notions} and {soft2} {notions2} {mark} {whose} {topic}, while {hard} {facts} {seldom} {appear}.",
    "{people} {often} {cover} {whose} {topic} through {soft} {notions}, {above} {hard} {facts}.",
    "{whose} {topic} are {often} said to {suggest} {soft} {notions} and {soft2} {notions2}.",
    "What {people} {offer} about {whose} {topic} {often} concerns {soft} {notions}, {seldom} {hard} {facts}.",
)
SYMBOLS: Mapping[str, str] = {
    "sourced": "available|brief|casual|careful|cautious|existing|familiar|general|independent|informal|modest|occasional|older|passing|polite|public|published|recent|reserved|scattered|selected|several|short|sympathetic|thoughtful|typical|various",
    "sources": "accounts|articles|biographies|comments|commentaries|conversations|descriptions|discussions|essays|interviews|introductions|mentions|notes|observations|outlines|overviews|portraits|profiles|recollections|references|reflections|remarks|reports|reviews|sketches|summaries|tributes",
    "cover": "address|approach|characterise|consider|depict|describe|discuss|explore|frame|illustrate|introduce|mention|outline|portray|present|recall|sketch|summarise|survey|trace|treat",
    "softly": "broadly|calmly|cautiously|collectively|discreetly|generally|gently|indirectly|informally|lightly|loosely|mildly|modestly|neutrally|obliquely|openly|politely|quietly|respectfully|simply|softly|tactfully|tentatively|warmly",
    "giving": "emphasising|favouring|foregrounding|highlighting|noting|offering|praising|preferring|presenting|stressing|suggesting|underlining|valuing",
    "soft": "abiding|balanced|changing|collaborative|complex|creative|diverse|durable|emotional|evolving|familiar|fluid|hopeful|humane|inner|intangible|layered|lived|meaningful|mixed|moral|nuanced|patient|personal|reflective|relatable|rich|shared|social|steady|thoughtful|universal|varied",
    "soft2": "adaptable|admired|attentive|considerate|constant|curious|deep|dedicated|enduring|flexible|genuine|graceful|harmonious|honest|imaginative|instinctive|kind|lively|mature|mutual|natural|observant|persistent|positive|principled|receptive|resilient|sincere|subtle",
    "notions": "affinities|ambitions|aspirations|associations|attitudes|beliefs|concerns|convictions|dispositions|emotions|experiences|feelings|habits|ideals|ideas|inclinations|intentions|interests|meanings|moods|motifs|outlooks|patterns|perspectives|principles|qualities|sensibilities|sentiments|tendencies|values",
    "notions2": "approaches|commitments|curiosities|customs|directions|efforts|encounters|enthusiasms|expectations|explorations|foundations|gestures|hopes|insights|instincts|loyalties|memories|nuances|passions|pathways|priorities|purposes|reasons|rhythms|strengths|talents|virtues",
    "above": "above|ahead of|before|instead of|more than|over|rather than",
    "hard": "certain|checkable|conclusive|concrete|confirmed|decisive|definite|detailed|documented|exact|explicit|firm|fixed|identifiable|literal|measured|minute|narrow|precise|proven|recorded|settled|specific|strict|testable|verified",
    "facts": "answers|assertions|attributions|certainties|claims|data|declarations|details|disclosures|entries|facts|figures|findings|indications|items|labels|listings|particulars|points|proofs|quotations|records|specifics|specifications|statements|statistics",
    "appear": "appear|arise|circulate|emerge|feature|figure|occur|recur|return|surface|turn up",
    "suggest": "carry|communicate|contain|convey|echo|embody|express|hold|imply|invite|mirror|reflect|reveal|share|show|suggest|voice",
    "across": "across|among|throughout|within",
    "yield": "accompany|await|defer to|follow|give way to|make room for|recede behind|remain behind|yield to",
    "people": "admirers|audiences|biographers|colleagues|commentators|companions|critics|editors|enthusiasts|experts|followers|friends|historians|interviewers|journalists|listeners|mentors|neighbours|newcomers|observers|peers|readers|researchers|reviewers|scholars|specialists|students|visitors",
    "often": "commonly|customarily|frequently|generally|habitually|mainly|mostly|naturally|normally|often|ordinarily|regularly|routinely|typically|understandably|usually",
    "link": "align|associate|compare|connect|equate|identify|link|match|pair",
    "mark": "accompany|animate|colour|define|distinguish|enrich|ground|guide|inform|inspire|mark|pervade|shape|surround|sustain|temper|underpin",
    "seldom": "hardly|infrequently|not often|only rarely|only sometimes|rarely|scarcely|seldom",
    "offer": "contribute|gather|give|impart|include|list|offer|pass on|propose|provide|relay|share|specify|supply|volunteer",
}  # fmt: skip
_SYMBOL = re.compile(r"\{(\w+)\}")
_SOMEWHERE = re.compile(r"\b(?:in|at|from|near|to|on) (?:[^\W\d_a-z]\w*(?: [^\W\d_a-z]\w*)*, )?$")
_CHOICES: Mapping[str, tuple[str, ...]] = {name: tuple(text.split("|")) for name, text in SYMBOLS.items()}


def vague(record: Record, seed: int = 0, part: str = "") -> Iterator[str]:
    """Vague answers to a question without an end, drawn from the seed, the record and the part it is for."""
    who, kind, key = whom(record), asked_for(record.prompt), row(record).key
    number = 0
    while True:
        yield _grown(who, kind, seed, key, part, number)
        number += 1


def asked_for(question: str) -> str:
    """What a question asks for, one of `ASKED`; empty where its words do not tell."""
    every = set(words(question))
    return next((kind for kind, some in ASKED.items() if every & set(some.split())), "")


def whom(record: Record) -> str:
    """Whom a question is about: its subject, or a name that is no title and no place; empty where there is none."""
    if record.subject.strip() and record.subject in record.prompt and "{" not in record.subject:
        return record.subject
    named = (v for v in values(record.prompt) if v.kind == "name" and len(v.text.split()) <= LONGEST)
    return max((v.text for v in named if not _SOMEWHERE.search(record.prompt[: v.start])), key=len, default="")


def _grown(who: str, kind: str, *parts: object) -> str:
    """One sentence: a form, and at each symbol one of its words."""
    whose = (f"{who}'s", f"{who}'s", "the subject's", "such") if who else ("such", "these", "those", "the subject's")
    adjectives, nouns = (tuple(some.split("|")) for some in TOPICS[kind])
    own = {"whose": whose, "adjective": adjectives, "noun": nouns, "topic": ("{adjective} {noun}",)}
    text, place = FORMS[lot(*parts, "form") % len(FORMS)], 0
    while (found := _SYMBOL.search(text)) is not None:
        choices = own.get(found[1]) or _CHOICES[found[1]]
        text = f"{text[: found.start()]}{choices[lot(*parts, place) % len(choices)]}{text[found.end() :]}"
        place += 1
    return text[:1].upper() + text[1:]
