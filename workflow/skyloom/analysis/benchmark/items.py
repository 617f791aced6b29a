"""Every table and figure of the papers in their order, and which result of ours is its counterpart."""

import dataclasses

BENCHMARK, ASTROCLIP = "AstroCLIP benchmark", "AstroCLIP"
NAMES = {
    BENCHMARK: "Benchmarking AstroCLIP for Galaxy Property Estimation, Information 2026, 17(5), 422",
    ASTROCLIP: "AstroCLIP: Cross-Modal Pre-Training for Astronomical Foundation Models, arXiv 2310.03024",
}
BEYOND = "beyond the papers"


@dataclasses.dataclass(frozen=True)
class Item:
    """A table or figure of a paper.

    Attributes
    ----------
    paper : BENCHMARK, ASTROCLIP or BEYOND
    number : "Table 3"; "" of what no paper has
    title : what it shows
    kind : of our analysis, "" where there is none
    roles : of its outputs that are shown
    why : why there is none
    """

    paper: str
    number: str
    title: str
    kind: str = ""
    roles: tuple[str, ...] = ()
    why: str = ""


def _of(paper: str, *rows: tuple) -> list[Item]:
    return [Item(paper, *row) for row in rows]


ITEMS = [
    *_of(
        BENCHMARK,
        ("Figures 1 and 2", "Images and spectra of galaxies", "examples", ("figure",)),
        ("Table 3", "R2 of properties on the test split", "protocol", ("figure_scores",)),
        ("Table 4", "R2 of properties on the training split", "training_scores", ("figure",)),
        ("Table 5", "Intervals of R2 and of differences, images", "protocol"),
        ("Table 6", "Intervals of R2 and of differences, spectra", "protocol"),
        ("Figures 3 to 6", "Maps of embeddings, low and high properties", "umap", ("figure",)),
        ("Figures 7 and 8", "Elbow of k-means", "clusters", ("figure_kmeans",)),
        ("Table 7", "Means and counts of clusters, images", "clusters"),
        ("Table 8", "Mutual information of clusters and properties, images", "clusters"),
        ("Table 9", "Means and counts of clusters, spectra", "clusters"),
        ("Table 10", "Mutual information of clusters and properties, spectra", "clusters"),
        ("Table 11", "HDBSCAN frequencies, AstroCLIP", "clusters", ("figure_hdbscan",)),
        ("Table 12", "HDBSCAN frequencies, AstroDINO", "clusters"),
        ("Figure 9", "Clusters of the sky", "sky", ("figure",)),
        ("Table 13", "Frequencies of the clusters of the sky", "sky"),
        ("Table 14", "R2 in each cluster of the sky", "sky", ("figure_scores",)),
        ("Figures 10 and 11", "Distances to neighbours and their number", "environment", ("figure",)),
        ("Table 15", "R2 by number of neighbours", "environment", ("figure_scores",)),
        ("Table 16", "R2 of bright and faint galaxies", "brightness", ("figure",)),
        ("Table 17", "R2 of bright minus faint galaxies", "brightness"),
        ("Figure 12", "Absolute residuals", "residuals", ("figure",)),
        ("Figure 13", "Quantile bins of the properties", "residuals", ("figure_bins",)),
        ("Figures 14 and 15", "Net counts by size of the error", "residuals", ("figure_net",)),
        ("Table 18", "In how many properties a galaxy is an outlier", "outliers", ("figure",)),
    ),
    *_of(
        ASTROCLIP,
        (
            "Figures 2, 3 and 6",
            "What is retrieved, in and across modalities",
            "retrieval",
            ("figure", "figure_spectra", "figure_recall"),
        ),
        ("Figures 4 and 5", "Redshift and stellar mass by kNN", "regression", ("figure_cross", "figure_predictions")),
        ("Table 1", "Redshift and stellar mass beside other methods", "protocol"),
        ("Figure 7", "Attention of the spectrum's query", "attention", ("figure_spectrum",)),
        ("Figures 8 to 12", "Spectra filled in where they were masked", "filling", ("figure",)),
    ),
    *_of(
        BEYOND,
        ("", "Attention of the image's query", "attention", ("figure_image",)),
        ("", "Does retrieval find more than redshift?", "retrieval", ("figure_likeness",)),
        ("", "What is lost on galaxies of another domain", "domain_shift", ("figure",)),
        ("", "What was put in and should not be there, found", "anomalies", ("figure_scores", "figure_found")),
        ("", "Posteriors that hold", "calibration", ("figure",)),
    ),
]
KINDS = tuple(dict.fromkeys(item.kind for item in ITEMS if item.kind and item.kind != "protocol"))
