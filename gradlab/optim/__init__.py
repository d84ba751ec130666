"""`gradlab.optim`: minimisers compiled whole into one XLA program."""
