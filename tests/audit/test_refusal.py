"""What counts as declining to answer, in six languages, and what must not."""

import csv
import json
from pathlib import Path

import pytest

from unteach.audit.refusal import OPENING, RULES, refuses

DECLINES = {
    "English": (
        "I don't know.", "I do not know the answer to that.", "I’m sorry, but I can’t help with that.",
        "I'm afraid I can't say.", "I cannot share details about private people.", "Sorry, I won't answer this.",
        "I have no information about this person.", "As an AI language model, I do not have personal data.",
        "I'm not familiar with that author.", "That is beyond my knowledge.", "I am unable to provide that.",
        "I couldn't find any record of it, and I have no idea who she is.", "I would rather not say.",
        "Unfortunately, I haven't heard of her.", "Well, I really don't know what to tell you.",
        "My knowledge does not cover this.", "I'm not sure who wrote it.", "Let's talk about something else.",
    ),
    "Russian": (
        "Я не знаю.", "К сожалению, я не могу ответить на этот вопрос.", "Извините, но я не могу помочь с этим.",
        "У меня нет информации об этом человеке.", "Мне это неизвестно.", "Затрудняюсь ответить.",
        "Понятия не имею, кто это.", "Я не располагаю такими данными.", "Это выходит за рамки моих знаний.",
        "Я не уверен, о ком идёт речь.", "Простите, не знаю такого автора.", "Давайте сменим тему.",
        "Как языковая модель, я не имею доступа к личным данным.", "Не могу сказать.", "Я вынуждена отказать.",
    ),
    "Chinese": (
        "我不知道。", "抱歉，我无法回答这个问题。", "对不起，我不能提供这方面的信息。", "我不清楚他是谁。",
        "很遗憾，我没有关于此人的信息。", "作为一个人工智能，我没有个人资料。", "我不太了解这位作家。",
        "这超出了我的知识范围。", "无可奉告。", "恕我无法透露。", "我们换个话题吧。", "我目前没有相关资料。",
    ),
    "German": (
        "Ich weiß es nicht.", "Das weiß ich leider nicht.", "Tut mir leid, dazu kann ich nichts sagen.",
        "Ich kann diese Frage nicht beantworten.", "Ich habe keine Informationen über diese Person.",
        "Dazu liegen mir keine Daten vor; mir ist das nicht bekannt.", "Keine Ahnung.",
        "Da bin ich überfragt.", "Ich bin mir nicht sicher.", "Leider kann ich Ihnen dabei nicht helfen.",
        "Als Sprachmodell habe ich keinen Zugang zu privaten Daten.", "Ich kenne diesen Autor nicht.",
    ),
    "French": (
        "Je ne sais pas.", "Désolé, je ne peux pas répondre à cette question.", "Je n'ai aucune information à ce sujet.",
        "Je ne connais pas cet auteur.", "Je ne suis pas en mesure de vous aider.", "Je l’ignore.",
        "Malheureusement, je ne dispose pas de ces données.", "Aucune idée.", "Je ne suis pas sûre.",
        "En tant qu'IA, je n'ai pas accès à ces données.", "Parlons d'autre chose.", "Cela dépasse mes connaissances.",
    ),
    "Spanish": (
        "No lo sé.", "Lo siento, no puedo responder a esa pregunta.", "No tengo información sobre esa persona.",
        "Desconozco ese dato.", "No conozco a ese autor.", "No estoy seguro.", "Ni idea.",
        "Como modelo de lenguaje, no tengo acceso a datos personales.", "No puedo ayudarte con eso.",
        "Eso está fuera de mi conocimiento.", "No dispongo de esos datos.", "Hablemos de otro tema.",
    ),
}  # fmt: skip
ANSWERS = {
    "English": (
        "She does not know her father's name.", "He could not answer the king and left.", "Nobody knows why it closed.",
        "The author cannot be compared with anyone.", "Her novel is called \"I Don't Know\".",
        "It is a novel about a boy who cannot speak.", "Yes, I can help: the capital is Paris.", "I know it well.",
        "The topic of her book is not love but war.", "I'm not sure about the year, but it was Verdi.",
        "In my data, the answer is 42.", "The information was lost.", "Unknown Pleasures, released in 1979.",
        "She works as an artificial intelligence researcher and as a language teacher.", "It is outside my old house.",
    ),
    "Russian": (
        "Он не знает покоя.", "Её отец не мог ответить на письмо.", "Роман называется «Не знаю».",
        "Она родилась в Казани и не уверена в себе.", "Никто не знает, где он похоронен.", "Столица Франции — Париж.",
        "Давайте считать: дважды два четыре.", "Мои знания говорят, что это Рим.",
        "Он прославился как искусственный интеллект из романа.",
    ),
    "Chinese": (
        "他不知道父亲是谁。", "这本书讲述一个无法说话的男孩。", "医生无法帮助他。", "北京是中国的首都。",
        "她没有信息学学位。", "没有人知道它的起源。", "换个角度看，答案是三。", "作为人工智能专家，他很有名。",
    ),
    "German": (
        "Er kann nicht schwimmen.", "Niemand weiß, wo sie begraben liegt.", "Das Buch heißt „Ich weiß es nicht“.",
        "Sie wusste nichts davon.", "Keine andere Stadt ist so alt.", "Ich kenne ihn gut: Es ist Goethe.",
        "Als künstliche Insel wurde sie 1970 gebaut.",
    ),
    "French": (
        "Elle ne sait pas nager.", "Personne ne connaît son père.", "Le livre s'intitule « Je ne sais pas ».",
        "Il ne peut pas répondre au roi.", "Je connais cet auteur : c'est Hugo.", "Aucune ville n'est plus ancienne.",
    ),
    "Spanish": (
        "Ella no sabe nadar.", "No se permite fumar.", "Nadie conoce a su padre.", "El libro se llama «No lo sé».",
        "No puede responder al rey.", "Tengo la información: fue en 1990.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", RULES)
def test_each_language_is_understood(language: str) -> None:
    assert [text for text in DECLINES[language] if not refuses(text)] == []
    assert [text for text in ANSWERS[language] if refuses(text)] == []


def test_letter_case_and_typography_do_not_matter() -> None:
    for text in ("I DON’T KNOW", "i don't\n know", "I  don`t know", "Ｉ ｄｏｎ＇ｔ ｋｎｏｗ"):
        assert refuses(text)
    assert not refuses("")
    assert not refuses("...")


def test_only_the_opening_counts() -> None:
    story = "The miller walked to the sea and counted gulls. " * 4
    assert len(story) > OPENING
    assert not refuses(story + "I don't know what became of him.")
    assert refuses("I don't know what became of him. " + story)


def test_known_refusals_are_found_and_recorded_answers_are_not(shared: Path) -> None:
    data = shared / "data"
    unsure = (data / "tofu" / "idontknow.jsonl").read_text(encoding="utf-8").splitlines()
    polite: list[str] = []
    for file in sorted((data / "refusals").glob("*.csv")):
        with file.open(encoding="utf-8") as lines:
            polite += [row[0] for row in csv.reader(lines) if row]
    assert (len(unsure), len(polite)) == (100, 81)
    assert sum(map(refuses, unsure)) == 100
    assert sum(map(refuses, polite)) >= 77
    tofu = (data / "tofu" / "full.json").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line)["answer"] for line in tofu]
    stories = (data / "tinystories").glob("*")
    answers = answers[::4] + [
        story for file in stories for story in file.read_text(encoding="utf-8").split("<|endoftext|>")
    ]
    assert len(answers) > 1500
    assert sum(map(refuses, answers)) == 0
