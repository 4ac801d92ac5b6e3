"""What each data set calls its columns, and what a row of it says. Column names and types are the data sets' own.

A row is read by a plain function into a RawItem; whatever is wrong with it is a ValueError with a reason. Prompts and
official scoring rules: see the data sets' papers, named at each schema.
"""

from __future__ import annotations

import re
from string import ascii_uppercase

from papo.data.sources.columns import (
    ANSWER,
    FIELDS,
    IMAGE,
    IMAGES,
    NUMBER,
    TEXT,
    TEXTS,
    Row,
    fields,
    pictures,
    text,
    texts,
    whole_number,
)
from papo.data.sources.own_data import LAYOUTS
from papo.data.sources.raw_items import (
    RawItem,
    Schema,
    in_words,
    known,
    lettered,
    parse_list,
    place_images,
    shown_in,
    type_of_answer,
)
from papo.rewards.extraction import last_boxed
from papo.rewards.grading.options import by_letter

IN_THE_PICTURE = "Answer the question in the picture."  # where a data set asks nowhere else


def chartqa(row: Row) -> RawItem:
    """ChartQA, arXiv 2203.10244."""
    labels = texts(row, "label")
    author = {"0": "human", "1": "augmented", "machine": "augmented"}
    by = text(row, "human_or_machine").lower()
    return RawItem(
        question=text(row, "query"),
        pictures=[row.get("image")],
        answer=labels[0] if labels else "",
        answer_type="text",  # the rule tells numbers by themselves
        rule="chartqa",
        labels=labels,
        tags=known({"author": author.get(by, by)}),
    )


def mathvista(row: Row) -> RawItem:
    """MathVista, arXiv 2310.02255. An item counts for each of its skills, so each is a tag of its own."""
    choices, unit, about = texts(row, "choices"), text(row, "unit"), fields(row, "metadata")
    multiple = text(row, "question_type") == "multi_choice"
    question = text(row, "question")
    question += f" (Unit: {unit})" if question and unit else ""
    kept = ("category", "context", "grade", "language", "source", "task")
    return RawItem(
        question=f"{question}\nChoices:\n{lettered(choices)}" if question and choices else question,
        pictures=pictures(row, ["decoded_image"]) or [row.get("image")],
        answer=text(row, "answer"),
        answer_type="choice" if multiple else text(row, "answer_type"),
        rule="mathvista",
        choices=choices,
        precision=whole_number(row, "precision"),
        tags=known({name: text(row, name) for name in ("question_type", "answer_type")})
        | known({name: text(about, name) for name in kept})
        | {f"skill {skill}": "yes" for skill in texts(about, "skills")},
    )


def problem(row: Row) -> RawItem:
    """ViRL39K (arXiv 2504.08837), Geometry3K (arXiv 2105.04165), MMK12 (arXiv 2503.07365) and CLEVR-count as the
    training sets of this field are laid out: the problem marks where its pictures go, the answer may stand in a box."""
    answer = text(row, "answer")
    answer = last_boxed(answer) or answer
    return RawItem(
        question=text(row, "problem"),
        pictures=pictures(row, ["images"]),
        answer=answer,
        answer_type=type_of_answer(answer),
        rule="math",
    )


def mathverse(row: Row) -> RawItem:
    """MathVerse, arXiv 2403.14624. In its vision-only version the picture holds the question too."""
    question, answer = text(row, "question"), text(row, "answer")
    multiple = text(row, "question_type") == "multi-choice"
    version = text(row, "problem_version")
    if not question and version.lower() == "vision only":
        question = IN_THE_PICTURE
    choices = re.findall(r"^([A-Z]):(.*)$", question.partition("Choices:")[2], re.MULTILINE) if multiple else []
    in_order = [letter for letter, _ in choices] == list(ascii_uppercase[: len(choices)])
    options = tuple(option.strip() for _, option in choices) if in_order else ()
    return RawItem(
        question=question,
        pictures=[row.get("image")],
        answer=by_letter(answer, options),
        answer_type="choice" if multiple else type_of_answer(answer),
        rule="math",
        choices=options,
        tags=known({"problem_version": version, "question_type": text(row, "question_type")})
        | known({name: text(fields(row, "metadata"), name) for name in ("subject", "subfield")}),
    )


def logicvista(row: Row) -> RawItem:
    """LogicVista, arXiv 2407.04973: answers are letters, some several, one none."""
    return RawItem(
        question=text(row, "question"),
        pictures=[row.get("image")],
        answer=text(row, "answer"),
        answer_type="choice",
        rule="logicvista",
    )


def mmmu_pro(row: Row) -> RawItem:
    """MMMU-Pro, arXiv 2409.02813, its two text versions: up to seven pictures, placed by question and options."""
    choices = parse_list(text(row, "options"))
    question, shown = text(row, "question"), [row.get(f"image_{n}") for n in range(1, 8)]
    question = f"{question}\n{lettered(choices)}" if question else ""
    order = shown_in(question, shown)
    question, shown = place_images(question, shown)
    return RawItem(
        question=question,
        pictures=shown,
        answer=by_letter(text(row, "answer"), choices),
        answer_type="choice",
        rule="mmmu_pro",
        choices=tuple(in_words(choice, order) for choice in choices) if question else choices,
        tags=known({"subject": text(row, "subject")}),
    )


def mmmu_pro_vision(row: Row) -> RawItem:
    """MMMU-Pro's vision version: question and options are in the picture."""
    choices = parse_list(text(row, "options"))
    return RawItem(
        question=IN_THE_PICTURE,
        pictures=[row.get("image")],
        answer=by_letter(text(row, "answer"), choices),
        answer_type="choice",
        rule="mmmu_pro",
        choices=choices,
        tags=known({"subject": text(row, "subject")}),
    )


_PROBLEM = Schema(problem, {"images": IMAGES, "problem": TEXT, "answer": ANSWER})
_NUMBERED = {f"image_{n}": IMAGE for n in range(1, 8)}

SCHEMAS = {
    "chartqa": Schema(chartqa, {"image": IMAGE, "query": TEXT, "label": TEXTS}, {"human_or_machine": ANSWER}),
    "mathvista": Schema(
        mathvista,
        {
            "pid": ANSWER,
            "question": TEXT,
            "image": IMAGE,
            "choices": TEXTS,
            "unit": TEXT,
            "precision": NUMBER,
            "answer": ANSWER,
            "question_type": TEXT,
            "answer_type": TEXT,
            "metadata": FIELDS,
            "metadata.task": TEXT,
            "metadata.skills": TEXTS,
        },
        {"decoded_image": IMAGE},
        id="pid",
    ),
    "virl39k": _PROBLEM,
    "geometry3k": _PROBLEM,
    "mmk12": _PROBLEM,
    "clevr_count": _PROBLEM,
    "mathverse": Schema(
        mathverse,
        {
            "sample_index": ANSWER,
            "problem_version": TEXT,
            "question": TEXT,
            "image": IMAGE,
            "answer": ANSWER,
            "question_type": TEXT,
        },
        {"metadata": FIELDS, "problem_index": ANSWER},
        id="sample_index",
        group="problem_index",
    ),
    "logicvista": Schema(logicvista, {"question": TEXT, "image": IMAGE, "answer": TEXT}, may_lack_answer=True),
    "mmmu_pro": Schema(
        mmmu_pro,
        {"id": ANSWER, "question": TEXT, "options": TEXT, "answer": TEXT, "subject": TEXT, **_NUMBERED},
        id="id",
    ),
    "mmmu_pro_vision": Schema(
        mmmu_pro_vision,
        {"image": IMAGE, "options": TEXT, "answer": TEXT},
        {"id": ANSWER, "subject": TEXT},
        id="id",
    ),
    **LAYOUTS,
}
