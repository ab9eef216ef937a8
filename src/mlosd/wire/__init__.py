"""Floor 1: Varlink, the bytes between mlosd and its clients. Knows messages and types, no method and no socket.

A string that is no UTF-8 (a Linux path may be any bytes) travels as Python's surrogateescape has it: each foreign
byte as one of the escapes \\udc80 to \\udcff. Every other lone surrogate is refused, and so is the character NUL.
"""
