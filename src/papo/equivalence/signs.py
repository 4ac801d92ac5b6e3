"""Characters that stand for a command or for another character."""

# ruff: noqa: RUF001
from __future__ import annotations

from string import ascii_letters

SIGNS = {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ",
    "∗": "*", "÷": "/", "∕": "/", "√": r"\sqrt ", "∛": r"\sqrt[3]", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ",
    "⩽": r"\le ", "⩾": r"\ge ", "≦": r"\le ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∈": r"\in ",
    "∪": r"\cup ", "∩": r"\cap ", "⊂": r"\subset ", "⊆": r"\subseteq ", "±": r"\pm ", "∓": r"\mp ",
    "∥": r"\parallel ", "⊥": r"\perp ", "≅": r"\cong ", "≌": r"\cong ", "∼": r"\sim ", "∽": r"\sim ",
    "→": r"\to ", "⇒": r"\Rightarrow ", "∠": r"\angle ", "△": r"\triangle ", "⊙": r"\odot ", "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}", "°": r"^{\circ}", "º": r"^{\circ}", "˚": r"^{\circ}", "′": "'", "，": ",", "；": ";",
    "：": ":", "\xa0": " ", "。": ".", "⁄": "/", "、": ",", "∶": ":", "⟨": "(", "⟩": ")",
    "℃": "^{\\circ}C", "℉": "^{\\circ}F", "\u00b5": "μ", "\u2126": "Ω",
    "€": " ", "£": " ", "¥": " ",
}  # fmt: skip
FRACTIONS = {
    sign: rf"\frac{{{top}}}{{{bottom}}}"
    for sign, top, bottom in zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞", "112131234151357", "233445555668888", strict=True)
}
# But for Ω and μ, which are as often units.
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma",
    "Δ": "Delta", "∆": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi",
}  # fmt: skip
# What keyboards of other languages write: digits, letters and signs of full width.
WIDE = {0xFEE0 + ord(sign): sign for sign in "0123456789+-.%()<>=/" + ascii_letters}
SIGN = str.maketrans(SIGNS | FRACTIONS | {sign: f"\\{name} " for sign, name in GREEK.items()}) | WIDE
