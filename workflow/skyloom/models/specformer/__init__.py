"""SpecFormer."""
