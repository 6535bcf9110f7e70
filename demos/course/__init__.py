"""The lessons of docs/course as notebooks, as scripts and in a terminal; and the site, with what its pages print."""
