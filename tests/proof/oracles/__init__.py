"""An oracle for each table: the functions run on all of its cells, in the words of its page."""
