"""Whether an answer declines to answer: phrase rules in six languages.

A text is normalised (compatibility forms, case, apostrophes, white space), and the rules are looked for in its
opening only and outside quotation marks: a refusal says so at once, while a story may let somebody refuse. The
rules know the common ways of not knowing, of not being able or willing, and of changing the subject; a refusal in
other words, or in another language, is missed.
"""

import re
import unicodedata

OPENING, READ = 160, 480  # characters in which a refusal has to begin, and those that are read at all
QUOTED = re.compile(r'"[^"]*"?|“[^”]*”?|«[^»]*»?|„[^“”]*[“”]?|「[^」]*」?')
MARKS = str.maketrans("‘’ʼ`´", "'''''")

_TELL = (
    r"(?:answer|help|assist|provide|share|tell|say|disclose|discuss|comment|reveal|give|offer|comply|respond|reply|"
    r"talk|speak|shed|access|recall|remember|confirm|find|fulfil|continue|engage|address|do (?:that|this|so))"
)
_KNOWLEDGE = (
    r"(?:information|knowledge|data|answers?|details?|records?|ideas?|clues?|access|insights?|familiarity|specifics|"
    r"context|enlightenment|memory|response)"
)
_ELSEWHERE = (
    r"(?:topics?|subjects?|conversations?|discussions?|dialogues?|interactions?|something (?:more|else|different))"
)
_MINE = (
    r"my ?(?:\w+ ){0,2}(?:knowledge|training|expertise|databases?|data|dataset|resources|programming|scope|reach|field|"
    r"capabilit(?:y|ies)|abilit(?:y|ies)|understanding|remit)"
)
ENGLISH = (
    rf"\bi (?:\w+ )?(?:can(?: ?not|'t)|could(?: not|n't)|won't|will not|must decline to|decline to) (?:\w+ )?{_TELL}\b",
    rf"\b(?:i am|i'm|we're|we are) (?:\w+ )?(?:unable|not able|not equipped|not allowed|not permitted|not authorized|"
    rf"not authorised|not in a position|not at liberty) to (?:\w+ )?{_TELL}\b",
    r"\bi(?:'m| am) (?:\w+ )?(?:not (?:\w+ )?(?:aware|familiar|knowledgeable|informed|privy|acquainted|well-versed|"
    r"briefed|comfortable|the (?:right|best))|unaware|clueless|stumped|blank|in the dark|at a (?:loss|disadvantage)|"
    r"drawing a blank|(?:missing|lacking) (?:\w+ )?information)\b",
    r"\bi(?:'m| am) (?:\w+ )?(?:not (?:\w+ )?(?:sure|certain)|unsure|uncertain)\b(?!.{0,30}\bbut\b)",
    r"\bi (?:\w+ )?(?:don't|do not|didn't) (?:\w+ )?know\b|\bi have yet to\b|\bi seem to have no\b|\bcome up short\b",
    rf"\bi(?:'ve| have)? (?:(?:\w+ ){{0,2}}(?:don't|do not)|not|never|(?:got )?no|lack|haven't)\b[^.!?]{{0,40}}\b{_KNOWLEDGE}\b",
    r"\bi(?:'ve| have)(?:n't| not|n't yet| not yet) (?:been|learned|learnt|encountered|heard|the faintest)\b",
    rf"\b(?:beyond|outside|out of|not (?:\w+ )?within|(?:not|\w+n't) (?:been )?(?:included )?in)(?: the scope of)? {_MINE}",
    rf"\b{_MINE}\b[^.!?]{{0,12}}\b(?:does|do|did|is|are)(?:n't| not)\b|\b{_MINE}\b[^.!?]{{0,12}}\blimited\b",
    r"\b(?:that|this|it)(?:'s| is) (?:\w+ )?not (?:\w+ )?(?:something|information|a topic|a subject) i\b",
    r"\b(?:that|this|it)(?:'s| is) (?:\w+ )?something i(?:'ve yet| have yet|'m not| am not| can't| cannot| need to look)\b",
    r"\b(?:a mystery|unknown) to me\b|\ba blind spot\b|\buncharted territory\b",
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.!?]{0,25}\b(?:i|my)\b",
    rf"\bi(?:'d| would)? (?:rather not|prefer (?:not )?to|like to keep|encourage us)\b|\blet's\b[^.!?]{{0,60}}\b{_ELSEWHERE}\b",
    r"\b(?:this|that) (?:\w+ )?(?:topic|subject)\b[^.!?]{0,30}\b(?:isn't|is not|doesn't|does not|out of)\b",
    rf"\bsensitive (?:topic|subject)\b|\bnot something i\b|\b(?:we|us|our|best|better)\b[^.!?]{{0,40}}\b(?:discuss|talk|focus|"
    rf"{_ELSEWHERE})\b[^.!?]{{0,60}}\b(?:more (?:uplifting|beneficial|positive|constructive)|positiv\w+|constructive|"
    r"productive|respectful|meaningful|different topic)\b",
)
RUSSIAN = (
    r"\bне (?:знаю|имею|располагаю|обладаю|владею|помню|припомню|в курсе|в состоянии|возьмусь|готова? (?:ответ|обсужд))",
    r"\bне (?:могу|смогу|буду|хочу|вправе)\b[^.!?]{0,40}\b(?:ответ|отвеч|помо|сказ|говор|предостав|сообщ|обсужд|дать|раскры|"
    r"поделит|рассказ|назвать|коммент|выполн|подсказ)",
    r"(?:^|\bя )(?:\w+ )?не (?:уверена?|знакома?|осведомлена?)\b",
    r"\bу меня (?:\w+ )?(?:нет|отсутству\w+)\b|\b(?:мне|нам) (?:\w+ ){0,2}(?:не ?известно|не ?знаком\w*)",
    r"\bзатрудняюсь\b|\bпонятия не\b|\bотказываюсь\b|\bвынужден\w* отказать",
    r"\b(?:вне|за пределами|за рамками|выходит за) (?:\w+ )?мо(?:ей|их)\b",
    r"\bкак (?:языковая модель|ии|искусственный интеллект)\b[^.!?]{0,12}\b(?:я|мне|у меня)\b",
    r"\bдавайте\b[^.!?]{0,40}\b(?:друг\w+|тем[уе]|о ч[её]м)\b",
)
CHINESE = (
    r"我(?:也|并|真的|目前|暂时|确实)*不(?:太|是很)?(?:知道|清楚|了解|确定|熟悉|明白)",
    r"(?:^|[，,。！!；;：: ]|我|恕|因此|所以)(?:目前|暂时|实在|也|恐怕)*(?:无法|不能|没办法|没有办法|无权|不便|不方便)(?:为[您你]|向[您你]|给[您你]|就此|对此)?"
    r"(?:回答|提供|透露|告诉|协助|帮助|讨论|分享|给出|确认|评论|满足|获取|处理)",
    r"我(?:目前|暂时|并|也)*没有(?:任何|相关|关于|这方面|足够|该|有关|所需)?[^。！？]{0,12}(?:信息|资料|数据|知识|答案|记录|权限|了解)",
    r"(?:抱歉|对不起|很遗憾|不好意思)[^。！？]{0,16}(?:无法|不能|不知道|没有|不清楚|不会|不便|不了解|不确定)",
    r"超出了?我的|无可奉告|拒绝回答|一无所知|作为(?:一个|一名|一款)?(?:ai|人工智能|大?语言模型)[^。！？]{0,6}我",
    r"换一?个话题|[聊谈](?:[聊谈]|点)?别的",
)
GERMAN = (
    r"\bweiss ich\b[^.!?]{0,20}\bnicht\b|\bich weiss\b[^.!?]{0,25}\b(?:nicht|nichts|keine\w*)\b",
    r"\b(?:ich kann|kann ich|ich darf|darf ich|ich möchte|möchte ich|ich werde)\b[^.!?]{0,60}\b(?:nicht|nichts|keine\w*)\b"
    r"[^.!?]{0,40}(?:beantwort|helf|sag|geb|antwort|auskunft|information|äusser|teil|mach|sprech|nenn|bereitstell)",
    r"\bich (?:habe|verfüge|besitze)\b[^.!?]{0,20}\bkein\w*\b[^.!?]{0,30}(?:information|ahnung|daten|kenntnis|antwort|zug|"
    r"angabe|wissen|details)",
    r"\bmir (?:ist|sind|liegen|fehlen|fehlt)\b[^.!?]{0,40}(?:nicht bekannt|unbekannt|kein\w*|information|wissen|kenntnis|daten)",
    r"\bich bin (?:mir )?(?:\w+ )?(?:nicht sicher|unsicher|nicht in der lage|überfragt)\b|\bbin ich überfragt\b",
    r"\bich kenne\b[^.!?]{0,30}\bnicht\b|\bkeine ahnung\b|\bausserhalb mein\w+\b|\bals (?:ki|sprachmodell|künstliche)\b[^.!?]{0,25}\bich\b",
    r"\btut mir leid\b[^.!?]{0,40}\b(?:nicht|kein\w*)\b|\blass(?:en sie)? uns\b[^.!?]{0,40}\b(?:ander\w+|thema)\b",
)
FRENCH = (
    r"\bje ne (?:le |la |l')?(?:sais|connais)\b[^.!?]{0,15}\b(?:pas|rien|point)\b|\bje l'ignore\b|\bj'ignore\b",
    r"\bje ne (?:peux|pourrai|saurais|suis pas en mesure de|veux|souhaite|préfère)\b(?: pas)?[^.!?]{0,30}"
    r"(?:répond|aid|fourni|donn|dire|partag|discut|communiqu|révél|parl|comment|aborder)",
    r"\bje (?:n'ai|ne dispose|ne possède)\b[^.!?]{0,12}\b(?:pas|aucune?)\b[^.!?]{0,25}"
    r"(?:information|connaissance|donnée|idée|réponse|accès|détail|renseignement)",
    r"\bje ne suis pas (?:\w+ )?(?:en mesure|sûre?|certaine?|au courant|capable|autorisée?|habilitée?|familière?|familier)\b",
    r"\baucune idée\b|\b(?:hors de|au-delà de|dépasse) mes\b|\ben tant que? ?'?(?:ia|intelligence|assistant|modèle)\b[^.!?]{0,25}\bje?\b",
    r"\b(?:désolée?|malheureusement)\b[^.!?]{0,12}\bje n(?:e\b|')|\b(?:changeons|parlons)\b[^.!?]{0,20}\b(?:sujet|autre)\b",
)
SPANISH = (
    r"\bno (?:lo |la )?sé\b|\bdesconozco\b|\bni idea\b|\bno (?:lo |la )?(?:conozco|recuerdo)\b",
    r"\bno (?:puedo|podría|podré|quiero|deseo)\b[^.!?]{0,20}"
    r"(?:respond|ayud|proporcion|dar|decir|compart|contest|ofrec|habl|revel|brind|coment|facilit)",
    r"\bno (?:tengo|dispongo de|cuento con|poseo)\b[^.!?]{0,25}(?:información|conocimiento|dato|idea|respuesta|acceso|detalle)",
    r"\bno estoy (?:\w+ )?(?:segur[oa]|familiarizad[oa]|autorizad[oa]|en condiciones|al tanto)\b",
    r"\b(?:fuera|más allá) de mis?\b|\bcomo (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje)\b[^.!?]{0,12}\bno\b",
    r"\blo siento\b[^.!?]{0,15}\bno\b|\b(?:cambiemos|hablemos)\b[^.!?]{0,20}\b(?:tema|otr[ao])\b",
)
RULES = {
    "English": ENGLISH, "Russian": RUSSIAN, "Chinese": CHINESE, "German": GERMAN, "French": FRENCH, "Spanish": SPANISH
}  # fmt: skip
_ANY = re.compile("|".join(f"(?:{rule})" for rules in RULES.values() for rule in rules))


def refuses(text: str) -> bool:
    """Whether a text declines in words; a text without any does not."""
    plain = unicodedata.normalize("NFKC", text[:READ]).casefold().translate(MARKS).replace("ё", "е")
    opening = " ".join(QUOTED.sub(" ", plain).split())
    found = _ANY.search(opening)
    return found is not None and found.start() < OPENING
