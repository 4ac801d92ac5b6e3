"""papo: perception-aware policy optimisation of vision-language models (arXiv 2507.06448)."""

__all__ = ["evaluate", "train"]


def __getattr__(name: str):
    # Imported when asked for: `import papo.objective` must not pay for transformers and lightning.
    if name == "train":
        from papo.training.run import train

        return train
    if name == "evaluate":
        from papo.evaluation.run import evaluate

        return evaluate
    raise AttributeError(f"module 'papo' has no attribute {name!r}")
