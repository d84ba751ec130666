"""The tests, laid out as the library is; `support` holds what a test of a primitive is made of."""
