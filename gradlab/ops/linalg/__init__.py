"""Linear algebra: solves and factorizations of matrices, and stacks of them, which stand in the last two axes."""
