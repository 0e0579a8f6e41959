"""Networks: their weights, their layers, how to read them, and quicker ways to the same numbers."""
