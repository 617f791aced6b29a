"""What galaxies shine: stellar populations, nebulae, active nuclei, dust, absorption on the way, magnitudes."""
