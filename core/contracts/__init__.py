"""The documents that pass between programs or into a file: one module each, used by its writers and its readers.

These modules import only `core` from fanbench. A document is a frozen `Document` with a version; `codec` has the errors
for invalid documents.
"""
