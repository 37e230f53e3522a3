"""Pictures: planes, and pages with isosurfaces."""
