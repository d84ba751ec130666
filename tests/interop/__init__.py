"""Tests of gradlab.interop."""
