"""A small report, and text that would like to be more than text."""

from io import BytesIO

from PIL import Image

from papo.report import Drops, GradedResponse, Plot, PlotRow, Report, ReportItem, ReportTable

CANARY = "window.canary=1"
HOSTILE = (
    f"<script>{CANARY}</script>",
    f"</script><script>{CANARY}</script>",
    f"</SCRIPT ><img src=x onerror={CANARY}>",
    f"<!--<script>--></script><script>{CANARY}</script>",
    f"<svg/onload={CANARY}>",
    f"\"' onfocus={CANARY} autofocus x=\"'",
    f"]]><iframe srcdoc='<script>parent.{CANARY}</script>'>",
    f"</title></style></textarea></noscript><script>{CANARY}</script>",
    f"javascript:{CANARY}",
    "<link rel=stylesheet href=http://127.0.0.1:9/x><img src=//127.0.0.1:9/y>",
    "&lt;b&gt; &#60;b&#62; ${x} $title $script <!-- items -->",
    "\u2028\u2029\x00\x07\x1b[31m\x7f\x85\ufeff\ufffe",
    "lone \ud800 and \udfff surrogates",
    "\u202egnp.exe\u2066 isolated \u200b\u200f",
    "Z" + "\u0301" * 400,
    "",
)


def png(colour, size=(8, 8)) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def response(text="so \\boxed{1}", verdict="correct", kl=None, **changes) -> GradedResponse:
    """Tokens are the words, each but the first with its space."""
    tokens = tuple(f" {word}" if i else word for i, word in enumerate(text.split(" ")))
    kl = (0.0,) * len(tokens) if kl is None else kl
    return GradedResponse(text, verdict, "1", "'1' against '1'", tokens, kl, **changes)


def item(id="a", right=1, k=2, **changes) -> ReportItem:
    responses = tuple(response(verdict="correct" if i < right else "wrong") for i in range(k))
    settings = {
        "benchmark": "lab",
        "model": "base",
        "question": f"How high is bar {id}?",
        "answer": "1",
        "choices": (),
        "tags": {"family": "charts"},
        "scorable": True,
        "images": (png("red"),),
        "corrupted": (png("black"),),
        "responses": responses,
        "accuracy": right / k,
    }
    return ReportItem(id=id, **settings | changes)


def hostile_report() -> Report:
    """Every place that takes text takes each hostile text once."""
    items, tables, plots = [], [], []
    for n, text in enumerate(HOSTILE):
        drops = Drops(((1, 1, 1),), (text,), (0,), (1.0, 2.0), "f38=")
        given = GradedResponse(text, "wrong", text, text, (text, " x"), (1.0, float("nan")), error=text, drops=drops)
        plain = GradedResponse(text, "wrong", None, text)
        items.append(
            item(
                f"{n}{text}",
                benchmark=text,
                model=text,
                question=text,
                answer=text,
                choices=(text, "x"),
                tags={text: text, "n": str(n), "__proto__": "x"},
                responses=(given, plain),
                unseen={text: (given, plain)},
            )
        )
        tables.append(ReportTable(text, (text, "n"), ((text, 1.0), (text, None)), text))
        plots.append(Plot(text, (PlotRow(text, text, 1.0, 0.5, 2.0),), text, text))
    text = "".join(HOSTILE)
    return Report(text, text, ((text, text),), tuple(tables), tuple(plots), tuple(items))
