"""The claims a run makes, each with its numbers and a verdict computed from them."""

from collections.abc import Iterator

import pandas

from skyloom.report.tables import with_interval


def regression_checks(table: pandas.DataFrame | None) -> Iterator[dict]:
    """The claims about zero-shot redshift, each with the two numbers and a verdict from their paired difference."""
    if table is None:
        return
    claims = [
        ("spectrum", "specformer", "specformer_untrained", "Trained SpecFormer beats the untrained network"),
        ("spectrum", "specformer", "pca_spectrum", "Trained SpecFormer beats PCA + kNN"),
        ("image", "astroclip", "astrodino", "Aligned image embeddings beat unaligned ones"),
        ("image", "astrodino", "astrodino_untrained", "Trained image encoder beats the untrained network"),
        ("image", "astrodino", "pca_image", "Trained image encoder beats PCA + kNN"),
        ("spectrum", "astroclip", "specformer", "Aligned spectrum embeddings beat unaligned ones"),
    ]
    chosen = table[(table["split"] == "test") & (table["property"] == "z") & (table["method"] == "knn")]
    for modality, first, second, text in claims:
        rows = chosen[chosen["modality"] == modality].set_index(["metric", "model"])
        keys = [("r2", first), ("r2", second), ("delta_r2", f"{first} - {second}")]
        if not all(key in rows.index for key in keys):
            continue
        a, b, difference = (rows.loc[key] for key in keys)
        yield {
            "claim": f"{text}: zero-shot R2(z)",
            "numbers": f"{a['value']:.3f} against {b['value']:.3f}, difference {with_interval(difference, 3)}",
            **verdict(difference["value"] > 0, difference["ci_low"] > 0 or difference["ci_high"] < 0),
        }


def retrieval_checks(table: pandas.DataFrame | None, factor: float = 10) -> Iterator[dict]:
    """Recall@10 of both cross pairings against chance."""
    if table is None:
        return
    rows = table[table["metric"] == "recall@10"].set_index(["model", "modality", "method"])
    for model, modality, method in rows.index:
        if method == "cosine" and (model, modality, "chance") in rows.index:
            found, chance = rows.loc[(model, modality, method)], rows.loc[(model, modality, "chance")]["value"]
            beyond = found["ci_low"] > factor * chance or found["ci_high"] < factor * chance
            yield {
                "claim": f"Recall@10 of {model}, {modality}, is at least {factor:g} times chance",
                "numbers": f"{with_interval(found, 3)}, chance {chance:.3f}: {found['value'] / chance:.1f} times",
                **verdict(found["value"] >= factor * chance, beyond),
            }


def verdict(holds: bool, certain: bool) -> dict:
    """`holds` is decided by the value; `certain` says whether the 95 % interval excludes the opposite."""
    text = "holds" if holds else "fails"
    return {"holds": bool(holds), "verdict": text if certain else f"{text}, within the uncertainty"}
