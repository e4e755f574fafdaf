"""Every parser under malformed input: a corpus, a mutator, and what must hold of each."""
