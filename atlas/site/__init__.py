"""The static site: view models, sprite sheets, pages. Imports no torch."""
