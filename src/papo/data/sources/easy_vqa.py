"""easy-VQA: 5,000 pictures of one coloured shape with 48,248 questions, which a package on the Python index carries.

Many pictures are asked the same words, so that each question has other pictures of its own (Item.counterfactual).

Its 107 questions give much away. The commonest answer to the same words among the training questions is right for

    yes or no, 28,407 of 38,575     82 % of them
    which shape, 5,002              35 %
    which colour, 5,166             14 %
    all                             67 %

and for 68 % of those that are held out.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from PIL import Image

from papo.arguments import Count, Share, checked
from papo.errors import ConfigError, SettingError
from papo.seeding import derive_seed, generator
from papo.types import Guess, Item

COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")

Row = tuple[int, str, str, int]  # number, question, answer, number of the picture

# Split: the package's own folder, and of its pictures those whose number modulo 4 is among these. The package has
# train and test only; a quarter of its test pictures is held out for validation, so that test stays untouched.
SPLITS = {"train": ("train", (0, 1, 2, 3)), "val": ("test", (0,)), "test": ("test", (1, 2, 3))}


class EasyVQA:
    """A split of easy-VQA: all its questions, or `size` of them spread evenly.

    Args:
        split: train (38,575 questions), val or test (together 9,673); no two share a picture.
        size: questions; null = all.
        supervised: whether to keep only questions whose picture is known in full, with that as their rationale.
        guessable_share: s in [0, 1]. A share s of the questions, drawn by the seed, are asked about a picture for which
            the answer that their words suggest (`suggestions`) is right: where it is not, the picture is exchanged for
            that of a question of the same words, drawn from those of the split where it is (a few words of val and test
            have none, and stay). All others stay as they are: what is asked does not change, and s + 0.67 (1 - s) of
            the questions are answered right by their words alone.
        even: whether pictures are exchanged, before that, so that every answer to the same words is as likely: then
            words alone have half of the yes or no questions right, a third of the shapes, an eighth of the colours. On
            natural questions a policy that never looks has 67 %, and one that has unlearnt to guess has less than it
            could; on these neither guessing nor its opposite is worth anything.
        seed: of what is exchanged.

    Raises:
        SettingError: an unknown split, a size that the split does not have, or a share outside [0, 1].
        ConfigError: the package is not installed.
    """

    @checked
    def __init__(
        self,
        split: Literal[*SPLITS],
        size: Count | None = None,
        supervised: bool = False,
        guessable_share: Share = 0.0,
        seed: int = 0,
        even: bool = False,
    ) -> None:
        name, quarters = SPLITS[split]
        data = package_data()
        self.folder = data / name
        rows = json.loads((self.folder / "questions.json").read_text())
        self.facts = picture_facts(rows)
        self.guesses = suggestions(json.loads((data / "train" / "questions.json").read_text()))
        rows = [(index, *row) for index, row in enumerate(rows) if row[2] % 4 in quarters]
        self.others = {
            question: tuple(tuple(row[3] for row in of_answer) for _, of_answer in sorted(of_question.items()))
            for question, of_question in by_answer(rows).items()
        }
        if supervised:
            rows = [row for row in rows if len(self.facts[row[3]]) == 2]
        size = len(rows) if size is None else size
        if size > len(rows):
            raise SettingError("size", f"must lie in 1..{len(rows)} (the questions of {split}), got {size}")
        # Evenly, not drawn as a table's are: the results in experiments/easy_vqa are of these questions.
        chosen = [rows[i * len(rows) // size] for i in range(size)]
        drawn = evened(chosen, rows, seed) if even else chosen
        drawn = exchanged(drawn, rows, self.guesses, guessable_share, seed) if guessable_share else drawn
        # Behind the question's number that of the picture's row.
        self.rows = [(question[0], *row) for question, row in zip(chosen, drawn, strict=True)]
        self.split, self.supervised = split, supervised

    def guessable(self, question: str, answer: str) -> bool:
        """Whether the words give the answer away."""
        guess = self.guesses.get(question)
        return guess is not None and guess.answer == answer

    @property
    def given_away(self) -> float:
        """Share of the questions whose words give the answer away: of those that `guessable_share` left, too."""
        return sum(self.guessable(question, answer) for _, _, question, answer, _ in self.rows) / len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        number, row, question, answer, picture = self.rows[index]
        guess = self.guesses.get(question)
        return Item(
            id=f"easy_vqa-{self.split}-{number}" + (f"-{row}" if row != number else ""),
            question=question,
            images=(read_picture(self.folder, picture),),
            answer=answer,
            answer_type="text",
            rationale=" ".join(self.facts[picture]) if self.supervised else None,
            tags={"kind": kind(answer), "guessable": "yes" if self.guessable(question, answer) else "no"},
            guess=guess,
            counterfactual=Another(self.folder, self.others[question]),
        )


@dataclass(frozen=True)
class Another:
    """Item.counterfactual: a picture of the split that the same words are asked about too, every answer as likely.

    Args:
        folder: of the pictures.
        by_answer: numbers of the pictures, by the answer to these words.
    """

    folder: Path
    by_answer: tuple[tuple[int, ...], ...]

    def __call__(self, seed: int) -> tuple[Image.Image, ...]:
        first, second = generator(derive_seed("easy_vqa-another", seed)).random(2).tolist()
        of_answer = self.by_answer[int(first * len(self.by_answer))]
        return (read_picture(self.folder, of_answer[int(second * len(of_answer))]),)


def read_picture(folder: Path, number: int) -> Image.Image:
    with Image.open(folder / "images" / f"{number}.png") as image:
        return image.convert("RGB")


def package_data() -> Path:
    """The folder that the package easy-vqa brings.

    Raises:
        ConfigError: it is not installed.
    """
    spec = find_spec("easy_vqa")  # not imported: that would read every question of both splits
    if spec is None:
        raise ConfigError("data=easy_vqa needs the package easy-vqa: pip install easy-vqa")
    return Path(spec.origin).parent / "data"


def kind(answer: str) -> str:
    """What is asked for: yes_no, shape or colour."""
    return "shape" if answer in SHAPES else "colour" if answer in COLOURS else "yes_no"


def picture_facts(rows: Iterable[tuple[str, str, int]]) -> dict[int, list[str]]:
    """Of each picture what its questions and answers tell for certain: colour, shape, both or neither, in this order.

    >>> picture_facts([("is there not a circle?", "no", 7), ("what color is the shape?", "red", 7)])
    {7: ['red', 'circle']}
    """
    known: dict[int, set[str]] = {}
    for question, answer, picture in rows:
        facts = known.setdefault(picture, set())
        if answer == "yes" or answer == "no":
            # "Is there a ..." with yes and "is there not a ..." with no say that it is there.
            if (answer == "yes") == (not _words(question) & {"not", "no"}):
                facts |= _words(question)
        else:
            facts |= _words(question) | {answer}
    return {picture: [word for word in (*COLOURS, *SHAPES) if word in facts] for picture, facts in known.items()}


def suggestions(rows: Iterable[tuple[str, str, int]]) -> dict[str, Guess]:
    """What the words of each question suggest: the commonest answer to them.

    As its rationale stands what is commonest in the pictures that are known in full and have this answer, so that the
    answer follows from it. The first in the alphabet where several are equally common.

    >>> suggestions([("is there a circle?", "yes", 1), ("what color is the shape?", "red", 1)])["is there a circle?"]
    Guess(rationale='red circle', answer='yes')
    """
    rows = list(rows)
    facts = picture_facts(rows)
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    rationales: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for question, answer, picture in rows:
        answers[question][answer] += 1
        if len(facts[picture]) == 2:
            rationales[question, answer][" ".join(facts[picture])] += 1
    found = {question: commonest(counts) for question, counts in answers.items()}
    return {
        question: Guess(commonest(rationales[question, answer]), answer)
        for question, answer in found.items()
        if rationales[question, answer]
    }


def commonest(counts: Counter[str]) -> str:
    return min(counts, key=lambda value: (-counts[value], value))


def by_answer(rows: Iterable[Row]) -> dict[str, dict[str, list[Row]]]:
    """The rows of each question, by their answer."""
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row[1]][row[2]].append(row)
    return found


def evened(chosen: Sequence[Row], rows: Iterable[Row], seed: int) -> list[Row]:
    """Of each chosen question one of the same words, each of their answers being as likely; see EasyVQA."""
    answers, found = by_answer(rows), []
    for row, (first, second) in zip(chosen, _draws("even", seed, len(chosen)), strict=True):
        to_words = answers[row[1]]
        of_answer = to_words[sorted(to_words)[int(first * len(to_words))]]
        found.append(of_answer[int(second * len(of_answer))])
    return found


def exchanged(
    chosen: Sequence[Row], rows: Iterable[Row], guesses: Mapping[str, Guess], share: float, seed: int
) -> list[Row]:
    """The chosen questions, each itself or another of the same words; see EasyVQA."""
    suggested: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row[1] in guesses and row[2] == guesses[row[1]].answer:
            suggested[row[1]].append(row)
    found = []
    for row, (first, second) in zip(chosen, _draws("guessable", seed, len(chosen)), strict=True):
        others = suggested[row[1]]
        exchange = first < share and others and row[2] != guesses[row[1]].answer
        found.append(others[int(second * len(others))] if exchange else row)
    return found


def _draws(name: str, seed: int, count: int) -> list[list[float]]:
    """Two draws in [0, 1) for each question. The same at every share: a larger one exchanges more, not other ones."""
    return generator(derive_seed(f"easy_vqa-{name}", seed)).random((count, 2)).tolist()


@cache
def _words(question: str) -> frozenset[str]:
    return frozenset(re.findall("[a-z]+", question))
