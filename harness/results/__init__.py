"""The run record, the columns of summary.csv and the result directories.

Imports no sibling; every other package may import it.
"""
