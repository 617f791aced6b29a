"""What is there before anybody looks: galaxies, their light, their places on the sky."""
