"""Synthesise, measure and encode pictures. No module here uses the cache."""
