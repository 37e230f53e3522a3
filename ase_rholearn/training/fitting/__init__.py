"""Making references from calculations that exist already."""
