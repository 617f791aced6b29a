"""What is claimed of redshifts from images, decided by the tables."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas
from scipy import stats

from skyloom.analysis.common.blocks import ONCE, Claim, claim, with_interval
from skyloom.analysis.photoz import PHOTOMETRY, PUBLISHED_SHARE, SPECTRUM
from skyloom.analysis.photoz.certainty import CONFORMAL, RAW
from skyloom.analysis.photoz.metrics import ALL, BELOW
from skyloom.analysis.photoz.sweeps import IMAGE_MASKED, JOINED
from skyloom.figures import style
from skyloom.settings.names import IMAGES

MARGIN = 0.02
"""How far the coverage of 90 % intervals may be from 90 %."""


def of_images(given: object) -> bool:
    """Whether `given` of a table names images alone."""
    return set(str(given).split("+")) <= set(IMAGES)


def whole_of(scores: pandas.DataFrame) -> pandas.Series | None:
    """As `methods.whole_image`, of the table."""
    able = scores.drop_duplicates("method")
    able = able[able["given"].map(of_images) & able["image_hidden"].notna()]
    if not len(able):
        return None
    able = able[able["model"] == able["model"].iloc[0]]
    order = able.assign(bands=-able["bands"].fillna("").astype(str).str.len())
    return order.sort_values(["image_hidden", "bands"], kind="stable").iloc[0]


def against_others(scores: pandas.DataFrame) -> Iterator[Claim]:
    """The whole image beats each network without hidden parts, and photometry."""
    whole = whole_of(scores)
    if whole is None:
        return
    fixed = scores[scores["image_hidden"].isna()].drop_duplicates("method")
    fixed = fixed[fixed["given"].map(of_images)]["method"]
    values = scores[(scores["metric"] == "sigma_nmad") & scores["other"].isna()].set_index(["method", "group"])["value"]
    rows = scores[(scores["metric"] == "sigma_nmad_difference") & (scores["method"] == whole["method"])]
    rows = rows.set_index(["other", "group"])
    for other in fixed:
        if (other, ALL) not in rows.index:
            continue
        told = []
        for group in (ALL, BELOW):
            if (other, group) in rows.index:
                one = rows.loc[other, group]
                pair = f"{values[whole['method'], group]:.4f} against {values[other, group]:.4f}"
                told.append(f"{group}: {pair}, {with_interval(one, 4, True)}, n = {int(one['n']):,}")
        row = rows.loc[other, ALL]
        what = "boosted aperture magnitudes" if other == PHOTOMETRY else style.pretty(other)
        yield claim(
            f"{style.pretty(whole['method'])} has a smaller sigma_NMAD than {what}, from images",
            "; ".join([*told, ONCE]),
            row["value"] < 0,
            row["ci_low"] > 0 or row["ci_high"] < 0,
        )


def of_masks(masks: pandas.DataFrame, published: Mapping[str, float] | None = None) -> Iterator[Claim]:
    """A whole image is no worse than a masked one, and nothing gets worse as less is hidden, a model each; `published`
    has the paper's sigma_NMAD by model."""
    paper = published or {}
    beside = ""
    if {"mmae_mask0", "mmae_mask25"} <= set(paper):
        beside = f"; published {paper['mmae_mask0'] / paper['mmae_mask25']:.1f} at {BELOW}, real HSC"
    for model, table in masks.groupby("model", sort=False):
        ratios = table[(table["metric"] == "sigma_ratio") & (table["masked"] == IMAGE_MASKED)].set_index("group")
        if ALL in ratios.index:
            row = ratios.loc[ALL]
            told = [f"{group}: {with_interval(ratios.loc[group])}" for group in (ALL, BELOW) if group in ratios.index]
            yield claim(
                f"{style.pretty(model)}: a whole image gives redshifts at least as good as one with"
                f" {PUBLISHED_SHARE:.0%} of it hidden",
                f"ratio of sigma_NMAD, {'; '.join(told)}{beside}",
                row["value"] <= 1,
                row["ci_low"] > 1 or row["ci_high"] < 1,
            )
        steps = table[(table["metric"] == "sigma_step") & (table["group"] == ALL)]
        if len(steps):
            rises, falls = steps[steps["ci_low"] > 0], steps[steps["ci_high"] < 0]
            worst = steps.loc[steps["value"].idxmax()]
            chance = stats.binom(len(steps), 0.025)
            yield claim(
                f"{style.pretty(model)}: the less of image or spectrum is hidden, the smaller sigma_NMAD, or it stays",
                f"of {len(steps)} steps {len(rises)} rise and {len(falls)} fall beyond their 95 % intervals,"
                f" {chance.mean():.1f} each by chance; the largest rise {worst['value']:+.4f}"
                f" ({worst['masked']}, {worst['other']:g} to {worst['share']:g})",
                not len(rises),
                not 0 < len(rises) <= chance.ppf(0.975),
            )


def of_coverage(calibration: pandas.DataFrame) -> Iterator[Claim]:
    """90 % intervals hold as many as they say, whatever is given."""
    overall = calibration[calibration["group"] == "overall"]
    asked = overall[overall["image_hidden"].notna() | overall["spectrum_hidden"].notna()]
    overall = asked if len(asked) else overall
    kinds = (("the image alone", of_images), ("the spectrum alone", lambda given: given == SPECTRUM))
    for what, member in (*kinds, ("image and spectrum", lambda given: "+" in str(given))):
        rows = overall[overall["given"].map(member).astype(bool)]
        last = rows[rows["stage"] == (CONFORMAL if (rows["stage"] == CONFORMAL).any() else RAW)]
        if not len(last):
            continue
        raw = rows[rows["stage"] == RAW].set_index("method")["coverage90"]
        told = [
            f"{style.pretty(r.method)} {r.coverage90:.3f} [{r.coverage90_low:.3f}, {r.coverage90_high:.3f}],"
            f" as given {raw[r.method]:.3f}"
            for r in last.itertuples()
        ]
        low, high = 0.9 - MARGIN - 1e-9, 0.9 + MARGIN + 1e-9
        inside = last["coverage90"].between(low, high)
        sure = (last["coverage90_low"] >= low) & (last["coverage90_high"] <= high)
        out = (last["coverage90_low"] > high) | (last["coverage90_high"] < low)
        yield claim(
            f"90 % intervals from {what} hold 90 ± {100 * MARGIN:g} % of the redshifts, after the conformal step",
            f"{'; '.join(told)}; n = {last['n'].iloc[0]:,}",
            inside.all(),
            sure.all() if inside.all() else out.any(),
        )


def of_widths(scores: pandas.DataFrame) -> Iterator[Claim]:
    """What is missing makes intervals wider, and every galaxy has an answer."""
    ratios = scores[scores["metric"] == "width90_ratio"]
    if not len(ratios):
        return
    finite = scores[(scores["metric"] == "finite") & scores["method"].isin({*ratios["method"], *ratios["other"]})]
    told = [
        f"{style.pretty(r['method'])} over {style.pretty(r['other'])} {with_interval(r)}" for _, r in ratios.iterrows()
    ]
    answered = bool((finite["value"] == 1).all())
    lost = (
        "every galaxy with what is asked for has a redshift"
        if answered
        else f"{(1 - finite['value'].min()):.2%} have no redshift"
    )
    yield claim(
        "A missing modality or band makes the intervals wider, and nothing fails (of galaxies that have both)",
        f"median width of 90 % intervals: {'; '.join(told)}; {lost}",
        (ratios["value"] > 1).all() and answered,
        (ratios["ci_low"] > 1).all() or (ratios["ci_high"] < 1).any() or not answered,
    )


def of_exposure(exposure: pandas.DataFrame) -> Iterator[Claim]:
    """The image adds to the shortest exposure."""
    for model, table in exposure.groupby("model", sort=False):
        rows = table[(table["metric"] == "sigma_ratio") & (table["given"] == JOINED)].sort_values("exposure")
        rows = rows[np.isfinite(rows["value"])]
        if len(rows):
            row = rows.iloc[0]
            told = [f"{with_interval(r)} at {r['exposure']:g}" for _, r in rows.iterrows()]
            yield claim(
                f"{style.pretty(model)}: the image makes redshifts better where the spectrum has {row['exposure']:g} of"
                " its exposure",
                f"sigma_NMAD with it over that without: {', '.join(told)}; n = {int(row['n']):,}",
                row["value"] < 1,
                row["ci_low"] > 1 or row["ci_high"] < 1,
            )
