"""The independent recount: does Redis hold what the log says?

It shares no code with the engine's state, the handler or the rating: events, meters, hours, duplicates and sums are
read and counted again, in plain Python, by the contract alone. Redis is read through the engine's read port.
"""
