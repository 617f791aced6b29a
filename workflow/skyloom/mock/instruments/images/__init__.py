"""What cameras see: profiles, arms, bars, neighbours, point spread functions, noise and artefacts."""
