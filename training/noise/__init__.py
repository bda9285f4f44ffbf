"""Noise on samples and inside networks, for measuring robustness: small transforms with draws that can be repeated."""
