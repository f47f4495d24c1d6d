"""Parts of the engine that no package registry has: a language host for Python, and stand-ins for two providers.

They speak the protocol of the official ones and are installed where those would be; an official one that is installed
there already is left alone and used.
"""
