"""An event stream that is not ours: how to request it (`request`) and what its events mean (`dialect`).

Pure values: nothing here opens a connection. `load` reads such streams; the publishing code uses the same values.
"""
