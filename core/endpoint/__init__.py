"""An event stream that is not ours: where it is and how it is asked for (`request`), and what its events mean (`dialect`).

Pure values: nothing here opens a connection. `load` reads such streams, and whoever publishes to them imports the same values.
"""
