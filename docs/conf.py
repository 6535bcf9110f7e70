"""The site, made of README, the pages here and the docstrings: `python -m sphinx -W docs DIR` in the folder above."""

import tinyhyper

project = html_title = "tinyhyper"
author = copyright = "the tinyhyper developers"
release = tinyhyper.__version__

extensions = ["myst_parser", "demos.course.site", "demos.course.sources"]
myst_heading_anchors = 4
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

html_theme = "sphinx_book_theme"
html_theme_options = {"navbar_persistent": [], "use_download_button": False}  # the search stands in the sidebar
html_context = {"default_mode": "auto"}  # as light as the system: without a word the theme reports an error
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
