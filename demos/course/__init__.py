"""The lessons of docs/course: as notebooks, and in a terminal."""
