"""The keywords of the language, one file per family: what is valid, and what it becomes in the model.

``table.py`` lists every keyword with its status; the reference page is generated from it. A check takes
an ``Entry`` and reports in GitLab's words; a lowering function takes a checked value. Only the
compiler's passes import this package.
"""
