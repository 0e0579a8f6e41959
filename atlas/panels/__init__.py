"""Facts about units that are not pictures. Nothing here knows the cache."""
