"""The mock survey: tiles, catalogues, posteriors, anomalies, in the formats of the archives."""
