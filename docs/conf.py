"""The site, made of README, the pages here and the docstrings: `python -m sphinx -W docs DIR` in the folder above."""

import tinyhyper

project = html_title = "tinyhyper"
author = copyright = "the tinyhyper developers"
release = tinyhyper.__version__

extensions = ["myst_nb", "demos.course.site", "demos.course.sources"]
myst_heading_anchors = 4

nb_custom_formats = {".md": "demos.course.site.cells"}
nb_execution_mode = "force"
nb_execution_in_temp = nb_execution_show_tb = nb_merge_streams = True
nb_execution_timeout = 45
nb_output_stderr = "remove"  # where numba says that it compiles
nb_mime_priority_overrides = [("html", "text/plain", None)]  # a page shows what is printed, and no value of a last line
suppress_warnings = ["mystnb.mime_priority"]

toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

html_theme = "sphinx_book_theme"
html_theme_options = {"navbar_persistent": [], "use_download_button": False}  # the search stands in the sidebar
html_context = {"default_mode": "auto"}  # as light as the system: without a word the theme reports an error
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = html_show_sourcelink = False
