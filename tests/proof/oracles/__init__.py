"""An oracle for each table: the functions asked over all of its cells, in the words of its page."""
