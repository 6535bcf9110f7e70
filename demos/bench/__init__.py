"""python -m demos bench: tinyhyper and its peers, measured side by side."""
