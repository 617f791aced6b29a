"""Tests of the survey formats."""
