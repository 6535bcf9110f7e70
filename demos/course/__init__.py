"""The lessons of docs/course: as notebooks, as scripts, and in a terminal; and the site of all pages, with what they print."""
