"""The documents that pass between programs or into a file: one module each, used by whoever writes it and whoever reads it.

Nothing here imports anything of fanbench but `core`. A document is a frozen `Document` with a version; `codec` has the words
for a document that does not fit.
"""
