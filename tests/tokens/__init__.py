"""Tests of skyloom.tokens."""
