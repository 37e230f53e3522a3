"""Comparison of densities: distances, similarity, and profiles along a line or a radius."""
