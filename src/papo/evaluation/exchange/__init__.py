"""Answers in the files of other tools, both ways: one file per format.

Each format has `read(path)`, the rows of a file as Foreign, and `write(path, exported)`. The whole of our record stands
in a field of its own, OWN, which the other tool passes over; what that wrote itself stays in Record.origin.
"""
