r"""Are two mathematical answers the same? Read by a small parser of our own, so that what a policy writes is only data.

Nothing is evaluated by Python or by a computer algebra system, and everything is bounded by construction: the length of
an answer, its tokens, its nesting, the digits of a number, the items of a list. Numbers are exact fractions while they
stay short and floats beyond; expressions with variables are compared at fixed points (see `numbers`).

Where one of the two cannot be read, they are the same only if they are written the same (see `prepare.plain`).
"""

from papo.equivalence.compare import equivalent as equivalent
