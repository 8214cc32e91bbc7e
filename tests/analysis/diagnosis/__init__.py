"""Tests of gantools.analysis.diagnosis."""
