"""What analyses share: neighbours, heads, scores, tidy tables."""
