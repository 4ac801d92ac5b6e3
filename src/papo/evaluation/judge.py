"""MathVista's last official step: a language model reads the answer out of a response that no rule could read.

Off unless asked for, and only a server on this machine is asked, so that no answer leaves it. The judge is not shown
the right answer, and does not say what is right: what it reads out goes through the same rule, as the official steps
have it. The prompt is our own, not the official one with its five examples; all prompts and replies are kept.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from typing import Annotated, Any
from urllib.parse import urlsplit

from papo.arguments import Must, Positive, Text
from papo.errors import ConfigError
from papo.rewards.grading import Grade, Verdict, grade
from papo.rewards.grading.verdict import shown
from papo.types import Item
from papo.visible import line

RULE = "mathvista"
LONGEST = 20_000  # characters of a response that the judge reads, the last ones: answers stand at the end
MOST_TOKENS = 64  # of its reply
LARGEST_REPLY = 10**6  # bytes
NONE = "NONE"  # what it writes where a response states no answer
HERE = ("localhost", "127.0.0.1", "::1")
PROMPT = """Below are a question about a picture and somebody's reply. Write the final answer that the reply states,
{form}, and nothing else. Do not answer the question yourself. If the reply states no answer, write {none}.

Question:
{question}

Reply:
{response}

Final answer:"""
FORMS = {
    "choice": "as the letter of its option",
    "integer": "as a whole number",
    "float": "as a decimal number",
    "list": "as a list such as [1, 2, 3]",
}


def is_here(url: str) -> bool:
    """Whether an address is of this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and parts.hostname in HERE and parts.port != 0
    except ValueError:
        return False


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Nobody may send a response on to somewhere else."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass
class Judge:
    """Asks a model what the answers are that no rule could read.

    Args:
        url: of an OpenAI-compatible server on this machine, without /chat/completions; None = nobody is asked.
        model: that it is asked for.
        timeout_s: seconds for one reply.

    Attributes:
        kept: what was asked and replied, one row each, in order.
    """

    url: Annotated[str, Must("be http://localhost:PORT/v1 or so, on this machine", is_here)] | None
    model: Text | None
    timeout_s: Positive
    kept: list[dict[str, Any]] = field(default_factory=list, init=False)

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Judge | None:
        """None where nobody is to be asked; settings as the arguments.

        Raises:
            ConfigError: a server without a model, or a model without a server.
        """
        if settings["url"] is None and settings["model"] is not None:
            raise ConfigError(f"rescore.judge.model={settings['model']} needs rescore.judge.url, the server to ask")
        if settings["url"] is not None and settings["model"] is None:
            raise ConfigError(f"rescore.judge.model must name the model that {settings['url']} serves")
        return None if settings["url"] is None else Judge(**settings)

    def __call__(self, item: Item, response: str, found: Grade) -> Grade:
        """The grade of what the model reads out of a response; `found` where a rule has read it, or nobody can.

        Raises:
            ConfigError: the server does not answer.
        """
        if item.rule != RULE or found.answer is not None or found.verdict is not Verdict.WRONG or not response.strip():
            return found
        form = (
            FORMS["choice" if item.choices else item.answer_type] if item.choices or item.answer_type in FORMS else ""
        )
        prompt = PROMPT.format(
            form=form or "in its own words", none=NONE, question=item.question, response=response[-LONGEST:]
        )
        reply = self.ask(prompt)
        read = next((text.strip().strip('"') for text in reply.splitlines() if text.strip()), "")
        again = found
        if read and read.rstrip(".").upper() != NONE:
            # As that step hands it on: what stands in this phrase is taken as it is.
            of_read = grade(item, f'The answer is "{read}".')
            again = replace(of_read, reason=f"{of_read.reason}; {shown(read)} was read out by the judge {self.model}")
        self.kept.append({"item": item.id, "prompt": prompt, "reply": reply, "verdict": again.verdict.value})
        return again

    def ask(self, prompt: str) -> str:
        """The model's reply, drawn greedily; raises ConfigError where there is none."""
        question = {"model": self.model, "messages": [{"role": "user", "content": prompt}]}
        question |= {"temperature": 0, "max_tokens": MOST_TOKENS}
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions",
            json.dumps(question).encode(),
            {"Content-Type": "application/json"},
        )
        # No proxy either, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect())
        try:
            with opener.open(request, timeout=self.timeout_s) as answer:
                return str(json.loads(answer.read(LARGEST_REPLY))["choices"][0]["message"]["content"] or "")
        except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
            why = line(f"{type(error).__name__}: {error}", 200)
            raise ConfigError(f"rescore.judge.url={self.url} gave no reply ({why})") from error
