"""Explore a survey in a browser: the map of its embeddings, each galaxy, its like. No address outside the machine.

One set of small files serves both a folder that opens without a server (`build`) and a page on the loopback for larger
surveys (`server`): data come as scripts that hold one call with one literal, since pages from a disk may fetch nothing.
"""
