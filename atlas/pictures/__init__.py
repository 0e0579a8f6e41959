"""Pixels: synthesised pictures and pictures of weights. Nothing here knows the cache."""
