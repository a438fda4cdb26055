"""The grammar that wrote ``recipes/quickstart``: an English-German corpus made up by rules.

A lexicon, two morphologies and one sampler per phenomenon. Read in this order: `lexicon` (the
words), `german` and `english` (their forms), `numbers`, `nominals` (noun phrases), `clauses` (where
the verb goes), `choosing` (what makes sense together), then the `sentences_*` files and `grammar`,
which lists the phenomena with their weights; `corpus` samples the sentences and splits them.
"""
