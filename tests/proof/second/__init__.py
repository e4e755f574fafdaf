"""A second test of the rules that changed, written from their text and from nothing else.

Its author read the pages, and no function of the rules, until the tests were written. So a sentence
that the code understands in another way fails here.
"""
